PRAGMA application_id = 1383427703;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE events (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            run INTEGER NOT NULL REFERENCES runs (seq) ON DELETE CASCADE,
            run_seq INTEGER NOT NULL,
            at TEXT NOT NULL,
            mono_ns INTEGER NOT NULL,
            boot_id TEXT NOT NULL,
            actor_kind TEXT NOT NULL,
            actor_name TEXT NOT NULL,
            kind TEXT NOT NULL,
            version INTEGER NOT NULL,
            payload TEXT NOT NULL,
            log_offset INTEGER NOT NULL,
            UNIQUE (run, run_seq)
        );
INSERT INTO "events" VALUES(1,1,1,'2026-01-02T00:00:03.000000+00:00',3000000000,'0a1b2c3d-boot','user','anna','submitted',1,'{"type":"submitted","spec":{"argv":["python3","-m","imports","--shard","3"],"cwd":"/srv","job":"import","shell":null,"env":{"TZ":"UTC"},"params":{"shard":3,"dry":false,"rate":0.5,"name":"a"},"stop":{"signal":"INT","grace_s":2.5},"timeout_s":60.0,"concurrency":1,"priority":5,"tags":["orders","prod"],"executor":"local"}}',0);
INSERT INTO "events" VALUES(2,1,2,'2026-01-02T00:00:04.000000+00:00',4000000000,'0a1b2c3d-boot','system','runwire','dispatched',1,'{"type":"dispatched","executor":"local"}',0);
INSERT INTO "events" VALUES(3,1,3,'2026-01-02T00:00:05.000000+00:00',5000000000,'0a1b2c3d-boot','system','runwire','requeued',1,'{"type":"requeued","message":"never started"}',0);
INSERT INTO "events" VALUES(4,1,4,'2026-01-02T00:00:06.000000+00:00',6000000000,'0a1b2c3d-boot','system','runwire','dispatched',1,'{"type":"dispatched","executor":"local"}',0);
INSERT INTO "events" VALUES(5,1,5,'2026-01-02T00:00:07.000000+00:00',7000000000,'0a1b2c3d-boot','system','runwire','started',1,'{"type":"started","process":{"pid":4711,"start_ticks":123456,"boot_id":"0a1b2c3d-boot"},"deadlines":[{"kind":"timeout","at":{"wall":"2026-01-02T00:00:01Z","mono_ns":1000000000,"boot_id":"0a1b2c3d-boot"}}]}',0);
INSERT INTO "events" VALUES(6,1,6,'2026-01-02T00:00:08.000000+00:00',8000000000,'0a1b2c3d-boot','system','runwire','succeeded',1,'{"type":"succeeded","outcome":{"type":"exited","exit_code":0,"signal":null,"stopped":null,"output_complete":true,"killed":[],"survivors":[],"usage":{"user_s":0.25,"system_s":0.125}},"log_size":1234}',0);
INSERT INTO "events" VALUES(7,2,1,'2026-01-02T00:00:09.000000+00:00',9000000000,'0a1b2c3d-boot','user','anna','submitted',1,'{"type":"submitted","spec":{"argv":["/bin/sh","-c","no such; thing"],"cwd":"/","job":null,"shell":"no such; thing","env":{},"params":{},"stop":{"signal":"TERM","grace_s":10.0},"timeout_s":null,"concurrency":null,"priority":0,"tags":[],"executor":"local"}}',0);
INSERT INTO "events" VALUES(8,2,2,'2026-01-02T00:00:10.000000+00:00',10000000000,'0a1b2c3d-boot','system','runwire','dispatched',1,'{"type":"dispatched","executor":"local"}',0);
INSERT INTO "events" VALUES(9,2,3,'2026-01-02T00:00:11.000000+00:00',11000000000,'0a1b2c3d-boot','system','runwire','failed',1,'{"type":"failed","reason":"start_failed","message":"no such program","outcome":{"type":"not_started","message":"no such program","stopped":null},"log_size":0}',0);
INSERT INTO "events" VALUES(10,3,1,'2026-01-02T00:00:12.000000+00:00',12000000000,'0a1b2c3d-boot','user','anna','submitted',1,'{"type":"submitted","spec":{"argv":["sleep","1000"],"cwd":"/","job":null,"shell":null,"env":{},"params":{},"stop":{"signal":"TERM","grace_s":10.0},"timeout_s":null,"concurrency":null,"priority":0,"tags":[],"executor":"local"}}',0);
INSERT INTO "events" VALUES(11,3,2,'2026-01-02T00:00:13.000000+00:00',13000000000,'0a1b2c3d-boot','system','runwire','dispatched',1,'{"type":"dispatched","executor":"local"}',0);
INSERT INTO "events" VALUES(12,3,3,'2026-01-02T00:00:14.000000+00:00',14000000000,'0a1b2c3d-boot','system','runwire','started',1,'{"type":"started","process":{"pid":4711,"start_ticks":123456,"boot_id":"0a1b2c3d-boot"},"deadlines":[]}',0);
INSERT INTO "events" VALUES(13,3,4,'2026-01-02T00:00:15.000000+00:00',15000000000,'0a1b2c3d-boot','system','runwire','stop_requested',1,'{"type":"stop_requested","request":{"cause":"cancel","policy":{"signal":"TERM","grace_s":10.0},"by":{"kind":"user","name":"anna"},"force":true}}',0);
INSERT INTO "events" VALUES(14,3,5,'2026-01-02T00:00:16.000000+00:00',16000000000,'0a1b2c3d-boot','system','runwire','signalled',1,'{"type":"signalled","step":{"at":"2026-01-02T00:00:00Z","signal":"TERM","target":"group 4711","pids":[4711,4712],"result":"sent"},"stopping":true,"deadlines":[{"kind":"kill","at":{"wall":"2026-01-02T00:00:02Z","mono_ns":2000000000,"boot_id":"0a1b2c3d-boot"}}]}',0);
INSERT INTO "events" VALUES(15,3,6,'2026-01-02T00:00:17.000000+00:00',17000000000,'0a1b2c3d-boot','system','runwire','program_exited',1,'{"type":"program_exited","exit_code":null,"signal":"TERM"}',0);
INSERT INTO "events" VALUES(16,3,7,'2026-01-02T00:00:18.000000+00:00',18000000000,'0a1b2c3d-boot','system','runwire','cancelled',1,'{"type":"cancelled","message":"ended by SIGTERM","outcome":{"type":"exited","exit_code":null,"signal":"TERM","stopped":"cancel","output_complete":false,"killed":[4712],"survivors":[],"usage":null},"log_size":7}',0);
CREATE TABLE last_check (only INTEGER PRIMARY KEY CHECK (only = 1), count INTEGER);
INSERT INTO "last_check" VALUES(1,0);
CREATE TABLE run_tags (
            tag TEXT NOT NULL,
            run INTEGER NOT NULL REFERENCES runs (seq) ON DELETE CASCADE,
            PRIMARY KEY (tag, run)
        ) WITHOUT ROWID
        ;
INSERT INTO "run_tags" VALUES('orders',1);
INSERT INTO "run_tags" VALUES('prod',1);
CREATE TABLE runs (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            status TEXT NOT NULL,
            job TEXT,
            search TEXT NOT NULL,
            digest TEXT,
            version INTEGER NOT NULL,
            body TEXT NOT NULL
        );
INSERT INTO "runs" VALUES(1,'succeeded','succeeded','import','succeeded
import
python3 -m imports --shard 3',NULL,1,'{"id":"succeeded","seq":1,"spec":{"argv":["python3","-m","imports","--shard","3"],"cwd":"/srv","job":"import","shell":null,"env":{"TZ":"UTC"},"params":{"shard":3,"dry":false,"rate":0.5,"name":"a"},"stop":{"signal":"INT","grace_s":2.5},"timeout_s":60.0,"concurrency":1,"priority":5,"tags":["orders","prod"],"executor":"local"},"status":"succeeded","created_at":"2026-01-02T00:00:03Z","created_by":{"kind":"user","name":"anna"},"attempt":1,"retry_of":null,"dispatched_at":"2026-01-02T00:00:06Z","started_at":"2026-01-02T00:00:07Z","cancel_requested_at":null,"exited_at":"2026-01-02T00:00:08Z","ended_at":"2026-01-02T00:00:08Z","duration_s":1.0,"started_mono_ns":7000000000,"process":{"pid":4711,"start_ticks":123456,"boot_id":"0a1b2c3d-boot"},"deadlines":[],"exit_code":0,"signal":null,"reason":null,"message":"","stop":null,"output_complete":true,"killed":[],"survivors":[],"usage":{"user_s":0.25,"system_s":0.125},"log_size":1234}');
INSERT INTO "runs" VALUES(2,'failed','failed',NULL,'failed

no such; thing','dddddddd',1,'{"id":"failed","seq":2,"spec":{"argv":["/bin/sh","-c","no such; thing"],"cwd":"/","job":null,"shell":"no such; thing","env":{},"params":{},"stop":{"signal":"TERM","grace_s":10.0},"timeout_s":null,"concurrency":null,"priority":0,"tags":[],"executor":"local"},"status":"failed","created_at":"2026-01-02T00:00:09Z","created_by":{"kind":"user","name":"anna"},"attempt":1,"retry_of":null,"dispatched_at":"2026-01-02T00:00:10Z","started_at":null,"cancel_requested_at":null,"exited_at":null,"ended_at":"2026-01-02T00:00:11Z","duration_s":null,"started_mono_ns":null,"process":null,"deadlines":[],"exit_code":null,"signal":null,"reason":"start_failed","message":"no such program","stop":null,"output_complete":null,"killed":[],"survivors":[],"usage":null,"log_size":0}');
INSERT INTO "runs" VALUES(3,'cancelled','cancelled',NULL,'cancelled

sleep 1000',NULL,1,'{"id":"cancelled","seq":3,"spec":{"argv":["sleep","1000"],"cwd":"/","job":null,"shell":null,"env":{},"params":{},"stop":{"signal":"TERM","grace_s":10.0},"timeout_s":null,"concurrency":null,"priority":0,"tags":[],"executor":"local"},"status":"cancelled","created_at":"2026-01-02T00:00:12Z","created_by":{"kind":"user","name":"anna"},"attempt":2,"retry_of":"failed","dispatched_at":"2026-01-02T00:00:13Z","started_at":"2026-01-02T00:00:14Z","cancel_requested_at":"2026-01-02T00:00:15Z","exited_at":"2026-01-02T00:00:17Z","ended_at":"2026-01-02T00:00:18Z","duration_s":4.0,"started_mono_ns":14000000000,"process":{"pid":4711,"start_ticks":123456,"boot_id":"0a1b2c3d-boot"},"deadlines":[],"exit_code":null,"signal":"TERM","reason":null,"message":"ended by SIGTERM","stop":{"cause":"cancel","requested_at":"2026-01-02T00:00:15Z","requested_by":{"kind":"user","name":"anna"},"steps":[{"at":"2026-01-02T00:00:00Z","signal":"TERM","target":"group 4711","pids":[4711,4712],"result":"sent"}],"escalated":false},"output_complete":false,"killed":[4712],"survivors":[],"usage":null,"log_size":7}');
CREATE INDEX runs_by_status ON runs (status, seq);
CREATE INDEX runs_by_job ON runs (job, seq, status) WHERE job IS NOT NULL;
CREATE INDEX runs_by_text ON runs (seq, search);
CREATE INDEX run_tags_by_run ON run_tags (run);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('runs',3);
INSERT INTO "sqlite_sequence" VALUES('events',16);
COMMIT;
