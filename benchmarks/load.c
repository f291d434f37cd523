/* Load generator: many feed clients in one epoll loop, cheap enough that the server is the bottleneck.
 *
 *   load PORT ws|sse CLIENTS EVENTS SECONDS IN_FLIGHT PATH
 *
 * Connects CLIENTS clients to 127.0.0.1:PORT, IN_FLIGHT at a time, and writes `ready <seconds> <failed>`. Then reads
 * until each has had EVENTS events (0: as many as come) or SECONDS have passed since `ready`, and writes a line of JSON:
 * what came, in what order, how late. In PATH, %d is the client's number.
 *
 * An event is a JSON text that begins with {"id":"<epoch>-<seq>" and ends with "timestamp":"<ISO 8601, ms, UTC>"}.
 * Each client counts its own: a seq that is not the next one is missing (a jump), repeated or inverted (not above the last).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTING, HANDSHAKE, OPEN, DONE };
#define CHUNK (1 << 20)
#define MS_BUCKETS 60000

typedef struct {
    int fd, state;
    char *left;         /* the tail of an incomplete message */
    size_t left_size;
    uint64_t events, last;
} client;

static client *clients;
static int websocket, total, port, gaps_are_errors = 1, open_count, failed, finished;
static uint64_t wanted, events, missing, repeated, inverted, bytes;
static uint32_t latency[MS_BUCKETS];
static const char *path;
static double first_event, last_event;
static int epoll_fd;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(client *c) {
    close(c->fd);
    c->fd = -1;
    if (c->state != OPEN) failed++;
    if (c->state != DONE) { c->state = DONE; finished++; }
}

static void begin(int index) {
    client *c = &clients[index];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    /* A source address has some 28,000 ports; spread over 127.0.0.x. */
    struct sockaddr_in source = {.sin_family = AF_INET};
    char text[32];
    snprintf(text, sizeof text, "127.0.0.%d", 2 + index / 20000);
    inet_pton(AF_INET, text, &source.sin_addr);
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) { perror("socket"); exit(1); }
    int one = 1;
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    bind(c->fd, (struct sockaddr *)&source, sizeof source);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) { fail(c); return; }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.u32 = index};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event);
}

static void request(int index) {
    client *c = &clients[index];
    char target[512], text[1024];
    snprintf(target, sizeof target, path, index);
    int size = websocket
        ? snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", target)
        : snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n", target);
    if (write(c->fd, text, size) != size) { fail(c); return; }
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
    c->state = HANDSHAKE;
}

static int digits(const char *text, int count) {
    int value = 0;
    while (count--) value = value * 10 + *text++ - '0';
    return value;
}

static void take(client *c, const char *text, size_t size, double at) {
    if (size < 40 || memcmp(text, "{\"id\":\"", 7)) return;
    const char *dash = memchr(text + 7, '-', 40);
    if (!dash) return;
    uint64_t seq = strtoull(dash + 1, NULL, 10);
    events++;
    if (!first_event) first_event = at;
    last_event = at;
    if (c->last) {
        if (seq == c->last) repeated++;
        else if (seq < c->last) inverted++;
        else if (gaps_are_errors && seq != c->last + 1) missing += seq - c->last - 1;
    }
    if (seq > c->last) c->last = seq;
    /* ...T HH:MM:SS.mmmZ"} */
    const char *hour = text + size - 15;
    if (text[size - 3] == 'Z') {
        double sent = digits(hour, 2) * 3600 + digits(hour + 3, 2) * 60 + digits(hour + 6, 2) + digits(hour + 9, 3) / 1e3;
        double day = at - 86400.0 * (uint64_t)(at / 86400.0);
        double late = day - sent;
        if (late < -1) late += 86400;
        int bucket = late < 0 ? 0 : (int)(late * 1000);
        latency[bucket >= MS_BUCKETS ? MS_BUCKETS - 1 : bucket]++;
    }
    if (++c->events == wanted && wanted && c->state == OPEN) { c->state = DONE; finished++; }
}

/* Each returns how much of the text it has used up. */
static size_t frames(client *c, const char *text, size_t size, double at) {
    size_t used = 0;
    while (size - used >= 2) {
        const unsigned char *p = (const unsigned char *)text + used;
        uint64_t length = p[1] & 127;
        size_t head = 2;
        if (length == 126) { head = 4; if (size - used < 4) break; length = p[2] << 8 | p[3]; }
        else if (length == 127) {
            head = 10;
            if (size - used < 10) break;
            length = 0;
            for (int i = 2; i < 10; i++) length = length << 8 | p[i];
        }
        if (size - used < head + length) break;
        if ((p[0] & 15) == 1) take(c, text + used + head, length, at);
        else if ((p[0] & 15) == 9) {
            unsigned char pong[6] = {0x8a, 0x80, 0, 0, 0, 0};
            if (write(c->fd, pong, 6) < 0) return used;
        }
        used += head + length;
    }
    return used;
}

static size_t lines(client *c, const char *text, size_t size, double at) {
    size_t used = 0;
    for (;;) {
        const char *end = memchr(text + used, '\n', size - used);
        if (!end) return used;
        const char *line = text + used;
        if (end - line > 6 && !memcmp(line, "data: ", 6)) {
            size_t length = end - line - 6;
            if (length && line[6 + length - 1] == '\r') length--;
            take(c, line + 6, length, at);
        }
        used = end - text + 1;
    }
}

static void readable(client *c) {
    static char buffer[CHUNK + (1 << 16)];
    for (;;) {
        if (c->left_size > (1 << 16)) { fail(c); return; }
        memcpy(buffer, c->left, c->left_size);
        ssize_t got = read(c->fd, buffer + c->left_size, CHUNK);
        if (got < 0) { if (errno != EAGAIN) fail(c); return; }
        if (got == 0) { fail(c); return; }
        double at = now();
        bytes += got;
        size_t size = c->left_size + got, used = 0;
        if (c->state == HANDSHAKE) {
            char *end = memmem(buffer, size, "\r\n\r\n", 4);
            if (end) {
                if (memcmp(buffer + 9, websocket ? "101" : "200", 3)) { fail(c); return; }
                c->state = OPEN;
                open_count++;
                used = end - buffer + 4;
            }
        }
        if (c->state != HANDSHAKE)
            used += websocket ? frames(c, buffer + used, size - used, at) : lines(c, buffer + used, size - used, at);
        c->left_size = size - used;
        if (c->left_size) {
            c->left = realloc(c->left, c->left_size);
            memcpy(c->left, buffer + used, c->left_size);
        }
        if (got < CHUNK) return;
    }
}

static int percentile(double share) {
    uint64_t sum = 0, all = 0;
    for (int i = 0; i < MS_BUCKETS; i++) all += latency[i];
    for (int i = 0; i < MS_BUCKETS; i++) if ((sum += latency[i]) > all * share) return i;
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 8) { fprintf(stderr, "load PORT ws|sse CLIENTS EVENTS SECONDS IN_FLIGHT PATH\n"); return 2; }
    port = atoi(argv[1]);
    websocket = !strcmp(argv[2], "ws");
    total = atoi(argv[3]);
    wanted = strtoull(argv[4], NULL, 10);
    double seconds = atof(argv[5]);
    int in_flight = atoi(argv[6]);
    path = argv[7];
    gaps_are_errors = strstr(path, "streamId") == NULL;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    clients = calloc(total, sizeof *clients);
    epoll_fd = epoll_create1(0);
    struct epoll_event found[1024];
    int begun = 0, ready = 0;
    double start = now(), deadline = start + 120;
    while (finished < total && now() < deadline) {
        while (begun < total && begun - open_count - failed < in_flight) begin(begun++);
        int count = epoll_wait(epoll_fd, found, 1024, 100);
        for (int i = 0; i < count; i++) {
            int index = found[i].data.u32;
            client *c = &clients[index];
            if (c->fd < 0) continue;
            if (c->state == CONNECTING && found[i].events & EPOLLOUT) request(index);
            else if (found[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(c);
        }
        if (!ready && open_count + failed >= total) {
            ready = 1;
            printf("ready %.6f %d\n", now() - start, failed);
            fflush(stdout);
            deadline = now() + seconds;
        }
    }
    int behind = 0;
    for (int i = 0; i < total; i++) behind += wanted && clients[i].events < wanted;
    printf("{\"events\":%lu,\"missing\":%lu,\"repeated\":%lu,\"inverted\":%lu,\"incomplete\":%d,\"failed\":%d,"
           "\"seconds\":%.6f,\"end\":%.6f,\"bytes\":%lu,\"p50\":%d,\"p99\":%d,\"max\":%d}\n",
           events, missing, repeated, inverted, behind, failed, last_event - first_event, last_event, bytes,
           percentile(0.5), percentile(0.99), percentile(1 - 1e-9));
    return 0;
}
