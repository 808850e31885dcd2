/* viewers - a WebSocket load client that is never the bottleneck.
 *
 * One thread, epoll, any number of connections.  Reads frames, counts them,
 * optionally extracts "T=<ns>" CLOCK_MONOTONIC time stamps (latency) and the
 * "@@BEGIN <ns>@@" / "@@END@@" marks that emit.c writes (throughput).
 * Never inflates, never prints payload.  Prints one JSON object.
 *
 *   cc -O2 -o viewers viewers.c
 *   viewers [options] HOST PORT PATH...   (HOST "unix" => PORT is a socket path;
 *                                          connections take the paths by turns)
 *     -n N        connections (default 1)
 *     -H "K: V"   extra handshake header, may be repeated
 *     -z          offer permessage-deflate
 *     -s          speak Engine.IO/Socket.IO 4 over WebSocket (PATH is ignored)
 *     -A JSON     Socket.IO CONNECT payload, e.g. {"token":"..."}
 *     -f TEXT     first text message each client sends once open
 *     -m N        stop a connection after N data messages
 *     -e          stop a connection when a message's tail holds "@@END@@"
 *     -l          collect latencies from every "T=<ns>" found in payloads
 *     -k N        the last N connections never read (stalled clients)
 *     -r          say "open" on stderr once all are connected
 *     -t SEC      give up after SEC seconds (default 120)
 *     -p PID      report the CPU seconds PID used (and its RSS) as well: until the
 *                 "@@BEGIN" mark came (connecting, mostly), and after that
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    int fd, done, stalled, close_code;
    uint8_t *buf;
    size_t cap, off, len;
    uint64_t msgs, bytes, wire, t_first, t_last, t_end;
} Conn;

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + t.tv_nsec;
}
static void die(const char *m) { perror(m); exit(2); }

static char *hdrs[32];
static int nhdr, deflate_, sio, endmark, latency, ready, timeout_s = 120, nconn = 1, nstall;
static uint64_t maxmsgs;
static char *first_text, *sio_auth = "";
static uint64_t begin_ns;
static int pid;
static double cpu_begin;
static double cpu_of(int pid, long *rss_kb);
static uint32_t *lat; /* microseconds */
static size_t nlat, caplat;

static int cmp32(const void *a, const void *b) {
    uint32_t x = *(uint32_t *)a, y = *(uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void send_frame(Conn *c, int op, const void *p, size_t n) {
    uint8_t h[14], *out;
    size_t hl = 2;
    h[0] = 0x80 | op;
    if (n < 126) h[1] = 0x80 | n;
    else { h[1] = 0x80 | 126; h[2] = n >> 8; h[3] = n; hl = 4; }
    memset(h + hl, 0, 4); /* zero mask: legal, and free */
    hl += 4;
    out = malloc(hl + n);
    memcpy(out, h, hl);
    if (n) memcpy(out + hl, p, n);
    if (write(c->fd, out, hl + n) < 0 && errno != EPIPE && errno != ECONNRESET) perror("write");
    free(out);
}

static int dial(const char *host, const char *port, const char *path, Conn *c, int *status) {
    int fd;
    if (!strcmp(host, "unix")) {
        struct sockaddr_un u = {.sun_family = AF_UNIX};
        strncpy(u.sun_path, port, sizeof u.sun_path - 1);
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (connect(fd, (void *)&u, sizeof u)) die("connect");
    } else {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
        inet_pton(AF_INET, host, &a.sin_addr);
        fd = socket(AF_INET, SOCK_STREAM, 0);
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (connect(fd, (void *)&a, sizeof a)) die("connect");
    }
    char req[8192];
    int n = snprintf(req, sizeof req,
        "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n",
        sio ? "/socket.io/?EIO=4&transport=websocket" : path, host);
    if (deflate_) n += snprintf(req + n, sizeof req - n,
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n");
    for (int i = 0; i < nhdr; i++) n += snprintf(req + n, sizeof req - n, "%s\r\n", hdrs[i]);
    n += snprintf(req + n, sizeof req - n, "\r\n");
    if (write(fd, req, n) != n) die("write handshake");
    c->fd = fd;
    c->cap = 1 << 18;
    c->buf = malloc(c->cap);
    for (;;) {
        ssize_t r = read(fd, c->buf + c->len, c->cap - c->len - 1);
        if (r <= 0) { *status = -1; return -1; }
        c->len += r;
        c->buf[c->len] = 0;
        char *e = strstr((char *)c->buf, "\r\n\r\n");
        if (e) {
            *status = atoi((char *)c->buf + 9);
            if (*status != 101) return -1;
            if (deflate_ && !strcasestr((char *)c->buf, "permessage-deflate"))
                fprintf(stderr, "server declined deflate\n");
            c->off = (uint8_t *)e + 4 - c->buf;
            break;
        }
    }
    if (first_text) send_frame(c, 1, first_text, strlen(first_text));
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return 0;
}

static void message(Conn *c, int op, uint8_t *p, size_t n, uint64_t t) {
    if (op == 9) { send_frame(c, 10, p, n); return; }
    if (op == 8) { c->close_code = n >= 2 ? p[0] << 8 | p[1] : 1005; c->done = 1; return; }
    if (op == 10) return;
    if (sio && op == 1 && n) {
        if (p[0] == '0') {
            char b[4096];
            send_frame(c, 1, b, snprintf(b, sizeof b, "40%s", sio_auth));
            return;
        }
        if (p[0] == '2') { send_frame(c, 1, "3", 1); return; }
        if (n > 1 && p[0] == '4' && p[1] == '0') return;
    }
    if (!c->msgs) c->t_first = t;
    c->msgs++;
    c->bytes += n;
    c->t_last = t;
    if (latency) {
        uint8_t *q = p, *e = p + n;
        while (q < e && (q = memmem(q, e - q, "T=", 2))) {
            uint64_t ts = strtoull((char *)q + 2, NULL, 10);
            if (ts && t > ts) {
                if (nlat == caplat) lat = realloc(lat, (caplat = caplat ? caplat * 2 : 65536) * 4);
                lat[nlat++] = (t - ts) / 1000;
            }
            q += 2;
        }
    }
    if (endmark) {
        if (!begin_ns) {
            uint8_t *q = memmem(p, n, "@@BEGIN ", 8);
            if (q) {
                long rss;
                begin_ns = strtoull((char *)q + 8, NULL, 10);
                if (pid) cpu_begin = cpu_of(pid, &rss);
            }
        }
        size_t tail = n < 256 ? n : 256;
        if (memmem(p + n - tail, tail, "@@END@@", 7)) { c->t_end = t; c->done = 1; }
    }
    if (maxmsgs && c->msgs >= maxmsgs) { c->t_end = t; c->done = 1; }
}

static void parse(Conn *c) {
    uint64_t t = now();
    while (!c->done) {
        uint8_t *p = c->buf + c->off;
        size_t have = c->len - c->off, hl = 2;
        if (have < 2) break;
        uint64_t n = p[1] & 127;
        if (n == 126) { hl = 4; if (have < 4) break; n = p[2] << 8 | p[3]; }
        else if (n == 127) {
            hl = 10; if (have < 10) break;
            n = 0;
            for (int i = 2; i < 10; i++) n = n << 8 | p[i];
        }
        if (have < hl + n) {
            if (hl + n > c->cap - 1) {
                uint8_t *b = malloc(hl + n + (1 << 18));
                memcpy(b, p, have);
                free(c->buf);
                c->buf = b; c->cap = hl + n + (1 << 18); c->off = 0; c->len = have;
            }
            break;
        }
        uint8_t keep = p[hl + n];
        p[hl + n] = 0; /* so that strtoull stops */
        message(c, p[0] & 15, p + hl, n, t);
        p[hl + n] = keep;
        c->off += hl + n;
    }
    if (c->off == c->len) c->off = c->len = 0;
    else if (c->off) {
        memmove(c->buf, c->buf + c->off, c->len - c->off);
        c->len -= c->off;
        c->off = 0;
    }
}

static double cpu_of(int pid, long *rss_kb) {
    char f[64], s[1024];
    snprintf(f, sizeof f, "/proc/%d/stat", pid);
    FILE *h = fopen(f, "r");
    *rss_kb = 0;
    if (!h) return 0;
    s[fread(s, 1, sizeof s - 1, h)] = 0;
    fclose(h);
    char *p = strrchr(s, ')');
    unsigned long u, k; long rss;
    sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d %*d %*u %*u %ld", &u, &k, &rss);
    *rss_kb = rss * 4;
    return (double)(u + k) / sysconf(_SC_CLK_TCK);
}

int main(int ac, char **av) {
    int o;
    while ((o = getopt(ac, av, "n:H:zsA:f:m:elrk:t:p:")) != -1) switch (o) {
        case 'n': nconn = atoi(optarg); break;
        case 'H': hdrs[nhdr++] = optarg; break;
        case 'z': deflate_ = 1; break;
        case 's': sio = 1; break;
        case 'A': sio_auth = optarg; break;
        case 'f': first_text = optarg; break;
        case 'm': maxmsgs = strtoull(optarg, 0, 10); break;
        case 'e': endmark = 1; break;
        case 'l': latency = 1; break;
        case 'r': ready = 1; break;
        case 'k': nstall = atoi(optarg); break;
        case 't': timeout_s = atoi(optarg); break;
        case 'p': pid = atoi(optarg); break;
        default: return 2;
    }
    if (ac - optind < 3) { fprintf(stderr, "usage: viewers [opts] HOST PORT PATH...\n"); return 2; }
    int npaths = ac - optind - 2;
    Conn *cs = calloc(nconn, sizeof *cs);
    int ep = epoll_create1(0), status = 0, live = 0;
    long rss0 = 0, rss1 = 0;
    double cpu0 = pid ? cpu_of(pid, &rss0) : 0;
    uint64_t t0 = now();
    for (int i = 0; i < nconn; i++) {
        if (dial(av[optind], av[optind + 1], av[optind + 2 + i % npaths], &cs[i], &status)) {
            printf("{\"refused\": %d, \"at\": %d}\n", status, i);
            return 1;
        }
        if (i >= nconn - nstall) {
            if (sio) { char b[4096]; send_frame(&cs[i], 1, b, snprintf(b, sizeof b, "40%s", sio_auth)); }
            cs[i].stalled = 1;
            continue;
        }
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &cs[i]};
        epoll_ctl(ep, EPOLL_CTL_ADD, cs[i].fd, &ev);
        live++;
        if (cs[i].len > cs[i].off) { parse(&cs[i]); if (cs[i].done) { close(cs[i].fd); live--; } }
        else cs[i].len = cs[i].off = 0;
    }
    if (ready) fputs("open\n", stderr);
    uint64_t t_open = now(), deadline = t0 + (uint64_t)timeout_s * 1000000000ull;
    int timed_out = 0;
    while (live > 0) {
        struct epoll_event ev[256];
        int k = epoll_wait(ep, ev, 256, 200);
        if (now() > deadline) { timed_out = 1; break; }
        for (int i = 0; i < k; i++) {
            Conn *c = ev[i].data.ptr;
            if (c->done) continue;
            ssize_t r = recv(c->fd, c->buf + c->len, c->cap - c->len - 1, 0);
            if (r < 0 && (errno == EAGAIN || errno == EINTR)) continue;
            if (r <= 0) { c->done = 1; if (!c->close_code) c->close_code = 1006; }
            else { c->wire += r; c->len += r; parse(c); }
            if (c->done) { epoll_ctl(ep, EPOLL_CTL_DEL, c->fd, NULL); close(c->fd); live--; }
        }
    }
    double cpu1 = pid ? cpu_of(pid, &rss1) : 0;
    if (!cpu_begin) cpu_begin = cpu0;
    uint64_t msgs = 0, bytes = 0, wire = 0, tf = ~0ull, tl = 0, te_max = 0;
    int ended = 0, codes[5] = {0};
    for (int i = 0; i < nconn; i++) {
        Conn *c = &cs[i];
        msgs += c->msgs; bytes += c->bytes; wire += c->wire;
        if (c->t_first && c->t_first < tf) tf = c->t_first;
        if (c->t_last > tl) tl = c->t_last;
        if (c->t_end) { ended++; if (c->t_end > te_max) te_max = c->t_end; }
        if (c->close_code && c->close_code != codes[0]) codes[0] = c->close_code;
    }
    double secs = tl > tf ? (tl - tf) / 1e9 : 0;
    printf("{\"clients\": %d, \"open_s\": %.4f, \"msgs\": %llu, \"bytes\": %llu, \"wire\": %llu, \"secs\": %.4f, "
           "\"msgs_s\": %.0f, \"MB_s\": %.2f, \"ended\": %d, \"close\": %d, \"timed_out\": %d",
           nconn, (t_open - t0) / 1e9, (unsigned long long)msgs, (unsigned long long)bytes,
           (unsigned long long)wire, secs, secs ? msgs / secs : 0, secs ? bytes / secs / 1e6 : 0,
           ended, codes[0], timed_out);
    if (begin_ns && te_max) printf(", \"run_s\": %.4f", (te_max - begin_ns) / 1e9);
    if (pid) printf(", \"srv_open_cpu_s\": %.2f, \"srv_cpu_s\": %.2f, \"srv_rss_kb\": %ld",
                    cpu_begin - cpu0, cpu1 - cpu_begin, rss1);
    if (nlat) {
        qsort(lat, nlat, 4, cmp32);
        printf(", \"lat_n\": %zu, \"lat_us\": {\"p50\": %u, \"p90\": %u, \"p99\": %u, \"max\": %u}",
               nlat, lat[nlat / 2], lat[nlat * 9 / 10], lat[nlat * 99 / 100], lat[nlat - 1]);
    }
    printf("}\n");
    return timed_out;
}
