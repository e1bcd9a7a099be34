/* LD_PRELOAD recorder: every write, truncate, sync, rename, unlink and creation below $RECORD_ROOT, in order, with data.
 *
 * The log ($RECORD_LOG) holds records: op byte, path length u32, second path length u32, offset u64, size u64, then the
 * two paths and the data. Ops: c(reate), k (mkdir), w(rite), t(runcate), s(ync), r(ename), u(nlink, rmdir).
 *
 * One mutex is held over each call and its record: what the log shows first had returned first, and no write of another
 * thread falls into a sync. A write to "<root>/.mark" is a marker: it says what the store had returned by then.
 * With $RECORD_NO_SYNC, syncs of paths that hold this text are made and not recorded, as on a disk that lies.
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

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("RECORD_LOG"), *top = getenv("RECORD_ROOT");
    if (!path || !top || strlen(top) >= sizeof root) return;
    root_length = strlen(top);
    memcpy(root, top, root_length + 1);
    int (*real_open)(const char *, int, ...) = real("open");
    log_fd = real_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int below(const char *path) {
    return log_fd >= 0 && !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

static int path_of(int fd, char *out) {
    char link[64];
    if (log_fd < 0 || fd == log_fd) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, out, PATH_MAX - 1);
    if (size <= 0) return 0;
    out[size] = 0;
    return below(out);
}

/* The full path of a name that need not exist; the folder that it stands in must. */
static int full_path(int folder, const char *path, char *out) {
    char joined[PATH_MAX], parent[PATH_MAX], base[64];
    if (log_fd < 0) return 0;
    if (path[0] == '/') {
        snprintf(joined, sizeof joined, "%s", path);
    } else {
        snprintf(base, sizeof base, folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", folder);
        ssize_t size = readlink(base, parent, sizeof parent - 1);
        if (size <= 0) return 0;
        parent[size] = 0;
        if (snprintf(joined, sizeof joined, "%s/%s", parent, path) >= (int)sizeof joined) return 0;
    }
    char *slash = strrchr(joined, '/');
    if (!slash || !slash[1]) return 0;
    *slash = 0;
    if (!realpath(slash == joined ? "/" : joined, parent)) return 0;
    if (snprintf(out, PATH_MAX, "%s/%s", parent, slash + 1) >= PATH_MAX) return 0;
    return below(out);
}

static void record(char op, const char *path, const char *second, uint64_t offset, const void *data, uint64_t size) {
    uint32_t first_length = strlen(path), second_length = second ? strlen(second) : 0;
    size_t stored = data ? size : 0, total = 25 + first_length + second_length + stored;
    char *buffer = malloc(total), *at = buffer;
    if (!buffer) abort();
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

#define GUARDED(type, call, after)  \
    pthread_mutex_lock(&lock);      \
    type done = call;               \
    after;                          \
    pthread_mutex_unlock(&lock);    \
    return done

static void opened(int fd, int flags, int existed) {
    char full[PATH_MAX];
    if (fd < 0 || !path_of(fd, full)) return;
    if (!existed && (flags & O_CREAT)) record('c', full, NULL, 0, NULL, 0);
    if (existed && (flags & O_TRUNC)) record('t', full, NULL, 0, NULL, 0);
}

#define MODE_OF(mode)            \
    va_list rest;                \
    va_start(rest, flags);       \
    mode_t mode = va_arg(rest, mode_t); \
    va_end(rest);                \
    struct stat seen

#define OPEN(name)                                                                          \
    int name(const char *path, int flags, ...) {                                            \
        MODE_OF(mode);                                                                      \
        int (*next)(const char *, int, ...) = real(#name);                                  \
        int existed = stat(path, &seen) == 0;                                               \
        GUARDED(int, next(path, flags, mode), opened(done, flags, existed));                \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                        \
    int name(int folder, const char *path, int flags, ...) {                                \
        MODE_OF(mode);                                                                      \
        int (*next)(int, const char *, int, ...) = real(#name);                             \
        int existed = fstatat(folder, path, &seen, 0) == 0;                                 \
        GUARDED(int, next(folder, path, flags, mode), opened(done, flags, existed));        \
    }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int fd, const void *data, size_t size) {
    ssize_t (*next)(int, const void *, size_t) = real("write");
    char path[PATH_MAX];
    if (!path_of(fd, path)) return next(fd, data, size);
    off_t at = 0;
    GUARDED(ssize_t, (at = lseek(fd, 0, fcntl(fd, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR), next(fd, data, size)),
            if (done > 0) record('w', path, NULL, at, data, done));
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

#define PWRITE(name)                                                                        \
    ssize_t name(int fd, const void *data, size_t size, off_t offset) {                     \
        ssize_t (*next)(int, const void *, size_t, off_t) = real(#name);                    \
        char path[PATH_MAX];                                                                \
        if (!path_of(fd, path)) return next(fd, data, size, offset);                        \
        GUARDED(ssize_t, next(fd, data, size, offset),                                      \
                if (done > 0) record('w', path, NULL, offset, data, done));                 \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

#define TRUNCATE(name)                                                                      \
    int name(int fd, off_t size) {                                                          \
        int (*next)(int, off_t) = real(#name);                                              \
        char path[PATH_MAX];                                                                \
        if (!path_of(fd, path)) return next(fd, size);                                      \
        GUARDED(int, next(fd, size), if (!done) record('t', path, NULL, size, NULL, 0));    \
    }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

static int lied_about(const char *path) {
    const char *lie = getenv("RECORD_NO_SYNC");
    return lie && strstr(path, lie);
}

#define SYNC(name)                                                                          \
    int name(int fd) {                                                                      \
        int (*next)(int) = real(#name);                                                     \
        char path[PATH_MAX];                                                                \
        if (!path_of(fd, path)) return next(fd);                                            \
        GUARDED(int, next(fd), if (!done && !lied_about(path)) record('s', path, NULL, 0, NULL, 0)); \
    }
SYNC(fsync)
SYNC(fdatasync)

static int rename_noted(int done, int known, const char *source, const char *target) {
    if (!done && known) record('r', source, target, 0, NULL, 0);
    return done;
}

int rename(const char *from, const char *to) {
    int (*next)(const char *, const char *) = real("rename");
    char source[PATH_MAX], target[PATH_MAX];
    int known = full_path(AT_FDCWD, from, source) && full_path(AT_FDCWD, to, target);
    GUARDED(int, next(from, to), rename_noted(done, known, source, target));
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    int (*next)(int, const char *, int, const char *) = real("renameat");
    char source[PATH_MAX], target[PATH_MAX];
    int known = full_path(from_folder, from, source) && full_path(to_folder, to, target);
    GUARDED(int, next(from_folder, from, to_folder, to), rename_noted(done, known, source, target));
}

#define NAMED(op, name, parameters, folder, arguments)                                      \
    int name parameters {                                                                   \
        int (*next) parameters = real(#name);                                               \
        char full[PATH_MAX];                                                                \
        int known = full_path(folder, path, full);                                          \
        GUARDED(int, next arguments, if (!done && known) record(op, full, NULL, 0, NULL, 0)); \
    }
NAMED('u', unlink, (const char *path), AT_FDCWD, (path))
NAMED('u', unlinkat, (int at, const char *path, int flags), at, (at, path, flags))
NAMED('u', rmdir, (const char *path), AT_FDCWD, (path))
NAMED('k', mkdir, (const char *path, mode_t mode), AT_FDCWD, (path, mode))
NAMED('k', mkdirat, (int at, const char *path, mode_t mode), at, (at, path, mode))
