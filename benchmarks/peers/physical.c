/* What the kernel alone costs: one process that answers the load generator's handshake with fixed bytes, keeps no log,
 * checks nothing, and gives each message to each client by one send(2).
 *
 *   physical PORT
 *
 * GET /ws and /sse are clients; POST /publish has messages, one on each line.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST 200000
#define ROOM (1 << 20)

static int epoll_fd, listener, readers[2][MOST], count[2];
static char *begun[MOST]; /* a request that is not whole yet, by its socket */
static size_t begun_size[MOST];

static void give(int kind, const char *text, size_t size) {
    static char framed[ROOM];
    size_t used = 0;
    if (kind == 0) {
        framed[used++] = (char)0x81;
        if (size < 126) framed[used++] = size;
        else { framed[used++] = 126; framed[used++] = size >> 8; framed[used++] = size & 255; }
    } else {
        memcpy(framed, "data: ", 6);
        used = 6;
    }
    memcpy(framed + used, text, size);
    used += size;
    if (kind == 1) { framed[used++] = '\n'; framed[used++] = '\n'; }
    /* A client that is gone or full misses it: this is a floor, not a feed. */
    for (int i = 0; i < count[kind]; i++) send(readers[kind][i], framed, used, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void publish(char *body, size_t size) {
    char *end = body + size;
    while (body < end) {
        char *line = memchr(body, '\n', end - body);
        size_t length = (line ? line : end) - body;
        if (length) { give(0, body, length); give(1, body, length); }
        body += length + 1;
    }
}

static void forget(int fd) {
    free(begun[fd]);
    begun[fd] = NULL;
    begun_size[fd] = 0;
    close(fd);
}

static void answer(int fd, const char *text) { send(fd, text, strlen(text), MSG_NOSIGNAL); }

static void readable(int fd) {
    static char buffer[ROOM];
    ssize_t got = read(fd, buffer, ROOM);
    if (got <= 0) { if (got == 0 || errno != EAGAIN) forget(fd); return; }
    begun[fd] = realloc(begun[fd], begun_size[fd] + got + 1);
    memcpy(begun[fd] + begun_size[fd], buffer, got);
    begun_size[fd] += got;
    begun[fd][begun_size[fd]] = 0;
    char *body = strstr(begun[fd], "\r\n\r\n");
    if (!body) return;
    body += 4;
    if (!strncmp(begun[fd], "POST", 4)) {
        char *length = strcasestr(begun[fd], "content-length:");
        size_t wanted = length ? strtoul(length + 15, NULL, 10) : 0, size = begun_size[fd] - (body - begun[fd]);
        if (size < wanted) return;
        publish(body, wanted);
        answer(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        forget(fd);
        return;
    }
    int kind = strncmp(begun[fd], "GET /ws", 7) ? 1 : 0;
    /* The accept of the load generator's one key (RFC 6455's example). */
    answer(fd, kind ? "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
                    : "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                      "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    free(begun[fd]);
    begun[fd] = NULL;
    begun_size[fd] = 0;
    readers[kind][count[kind]++] = fd;
}

static void take_in(void) {
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= MOST) { close(fd); continue; }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

int main(int argc, char **argv) {
    if (argc != 2) { fprintf(stderr, "physical PORT\n"); return 2; }
    signal(SIGPIPE, SIG_IGN);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
        perror("listen");
        return 1;
    }
    epoll_fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, found[256];
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(epoll_fd, found, 256, -1);
        for (int i = 0; i < ready; i++) {
            if (found[i].data.fd == listener) take_in();
            else readable(found[i].data.fd);
        }
    }
}
