"""Jobs over HTTP."""

from tests.web.served import Site


async def test_jobs_come_in_the_order_of_the_file_with_what_they_take(site: Site) -> None:
    jobs = (await site.http.get("/jobs")).json()["jobs"]
    assert [job["name"] for job in jobs] == ["hello", "sleeper"]
    hello = jobs[0]
    assert hello["description"] == "Says hello"
    assert hello["tags"] == ["greeting"]
    assert hello["params"]["name"]["type"] == "string"
    assert hello["params"]["name"]["default"] == "world"
    assert hello["last_run"] is None
    assert jobs[1]["stop"] == {"signal": "TERM", "grace_s": 5.0, "scope": "tree"}


async def test_a_job_knows_its_newest_run(site: Site) -> None:
    for _ in range(2):
        run_id = (await site.http.post("/runs", json={"job": "hello"})).json()["id"]
        await site.ended(run_id)
    job = (await site.http.get("/jobs/hello")).json()
    assert (job["last_run"]["id"], job["last_run"]["status"]) == (run_id, "succeeded")
    listed = (await site.http.get("/jobs")).json()["jobs"]
    assert listed[0] == job


async def test_a_job_that_is_not_there_is_no_job(site: Site) -> None:
    answer = await site.http.get("/jobs/helo")
    assert (answer.status_code, answer.json()["code"]) == (404, "no_such_job")
