/* LD_PRELOAD recorder: every write, truncate, sync, rename, unlink and creation below $RECORD_ROOT, in order, with data.
 *
 * The log ($RECORD_LOG) holds records: op byte, path length u32, second path length u32, offset u64, size u64, then the
 * two paths and the data. Each record is one write(2) to an O_APPEND descriptor under a mutex, made after the call
 * returned: what the log shows first, happened first. A marker is a write to the magic descriptor path "<root>/.mark".
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1;
static char root[PATH_MAX];
static size_t root_length;

static void *real(const char *name) {
    return dlsym(RTLD_NEXT, name);
}

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("RECORD_LOG"), *top = getenv("RECORD_ROOT");
    if (!path || !top) return;
    root_length = strlen(top);
    memcpy(root, top, root_length + 1);
    int (*real_open)(const char *, int, ...) = real("open");
    log_fd = real_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int path_of(int fd, char *out) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, out, PATH_MAX - 1);
    if (size <= 0) return 0;
    out[size] = 0;
    return log_fd >= 0 && root_length && strncmp(out, root, root_length) == 0;
}

static int below(const char *path) {
    return log_fd >= 0 && root_length && strncmp(path, root, root_length) == 0;
}

static void record(char op, const char *path, const char *second, uint64_t offset, const void *data, uint64_t size) {
    uint32_t first_length = strlen(path), second_length = second ? strlen(second) : 0;
    size_t stored = data ? size : 0, total = 25 + first_length + second_length + stored;
    char *buffer = malloc(total), *at = buffer;
    *at++ = op;
    memcpy(at, &first_length, 4), at += 4;
    memcpy(at, &second_length, 4), at += 4;
    memcpy(at, &offset, 8), at += 8;
    memcpy(at, &size, 8), at += 8;
    memcpy(at, path, first_length), at += first_length;
    if (second) memcpy(at, second, second_length), at += second_length;
    if (stored) memcpy(at, data, stored);
    ssize_t (*real_write)(int, const void *, size_t) = real("write");
    if (real_write(log_fd, buffer, total) != (ssize_t)total) abort();
    free(buffer);
}

#define NOTE(op, path, second, offset, data, size)            \
    do {                                                      \
        pthread_mutex_lock(&lock);                            \
        record(op, path, second, offset, data, size);         \
        pthread_mutex_unlock(&lock);                          \
    } while (0)

static int opened(const char *path, int flags, int fd, int existed) {
    char full[PATH_MAX];
    if (fd >= 0 && path_of(fd, full)) {
        if (!existed && (flags & O_CREAT)) NOTE('c', full, NULL, 0, NULL, 0);
        if (existed && (flags & O_TRUNC)) NOTE('t', full, NULL, 0, NULL, 0);
    }
    (void)path;
    return fd;
}

#define OPEN(name)                                                            \
    int name(const char *path, int flags, ...) {                              \
        va_list rest;                                                         \
        va_start(rest, flags);                                                \
        mode_t mode = va_arg(rest, mode_t);                                   \
        va_end(rest);                                                         \
        struct stat seen;                                                     \
        int existed = stat(path, &seen) == 0;                                 \
        int (*next)(const char *, int, ...) = real(#name);                    \
        return opened(path, flags, next(path, flags, mode), existed);         \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                          \
    int name(int folder, const char *path, int flags, ...) {                  \
        va_list rest;                                                         \
        va_start(rest, flags);                                                \
        mode_t mode = va_arg(rest, mode_t);                                   \
        va_end(rest);                                                         \
        struct stat seen;                                                     \
        int existed = fstatat(folder, path, &seen, 0) == 0;                   \
        int (*next)(int, const char *, int, ...) = real(#name);               \
        return opened(path, flags, next(folder, path, flags, mode), existed); \
    }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int fd, const void *data, size_t size) {
    ssize_t (*next)(int, const void *, size_t) = real("write");
    char path[PATH_MAX];
    if (log_fd < 0 || fd == log_fd || !path_of(fd, path)) return next(fd, data, size);
    pthread_mutex_lock(&lock);
    int append = fcntl(fd, F_GETFL) & O_APPEND;
    off_t at = append ? lseek(fd, 0, SEEK_END) : lseek(fd, 0, SEEK_CUR);
    ssize_t done = next(fd, data, size);
    if (done > 0) record('w', path, NULL, at, data, done);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    ssize_t done = 0;
    for (int i = 0; i < count; i++) {
        ssize_t one = write(fd, parts[i].iov_base, parts[i].iov_len);
        if (one < 0) return done ? done : one;
        done += one;
    }
    return done;
}

#define PWRITE(name)                                                          \
    ssize_t name(int fd, const void *data, size_t size, off_t offset) {       \
        ssize_t (*next)(int, const void *, size_t, off_t) = real(#name);      \
        char path[PATH_MAX];                                                  \
        if (log_fd < 0 || !path_of(fd, path)) return next(fd, data, size, offset); \
        pthread_mutex_lock(&lock);                                            \
        ssize_t done = next(fd, data, size, offset);                          \
        if (done > 0) record('w', path, NULL, offset, data, done);            \
        pthread_mutex_unlock(&lock);                                          \
        return done;                                                          \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

#define TRUNCATE(name)                                                        \
    int name(int fd, off_t size) {                                            \
        int (*next)(int, off_t) = real(#name);                                \
        char path[PATH_MAX];                                                  \
        int done = next(fd, size);                                            \
        if (done == 0 && path_of(fd, path)) NOTE('t', path, NULL, size, NULL, 0); \
        return done;                                                          \
    }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

#define SYNC(name)                                                            \
    int name(int fd) {                                                        \
        int (*next)(int) = real(#name);                                       \
        char path[PATH_MAX];                                                  \
        int known = path_of(fd, path);                                        \
        const char *lie = getenv("RECORD_NO_SYNC");                           \
        int done = next(fd);                                                  \
        if (done == 0 && known && !(lie && strstr(path, lie))) NOTE('s', path, NULL, 0, NULL, 0); \
        return done;                                                          \
    }
SYNC(fsync)
SYNC(fdatasync)

static int renamed(const char *from, const char *to, int done) {
    char source[PATH_MAX], target[PATH_MAX];
    if (done == 0 && realpath(to, target) && below(target)) {
        strncpy(source, from, sizeof source - 1);
        source[sizeof source - 1] = 0;
        NOTE('r', source, target, 0, NULL, 0);
    }
    return done;
}

int rename(const char *from, const char *to) {
    int (*next)(const char *, const char *) = real("rename");
    char full[PATH_MAX];
    const char *source = realpath(from, full) ? full : from;
    char kept[PATH_MAX];
    strncpy(kept, source, sizeof kept - 1);
    kept[sizeof kept - 1] = 0;
    return renamed(kept, to, next(from, to));
}

int unlink(const char *path) {
    int (*next)(const char *) = real("unlink");
    char full[PATH_MAX];
    int known = realpath(path, full) != NULL && below(full);
    int done = next(path);
    if (done == 0 && known) NOTE('u', full, NULL, 0, NULL, 0);
    return done;
}
