/* Faults for a program under test: loaded before the C library (LD_PRELOAD), it sees every call that changes a file of a
 * library, counts it, and does at one of them what the environment says. Nothing of this is part of mmsearch.
 *
 *   FAULT_DIR     the library's directory, absolute; only what lies in it is counted
 *   FAULT_REPORT  a file of REPORT_SIZE bytes, mapped: what was counted is known after a kill too
 *   FAULT_LOG     a file that gets a line "KIND PATH" for every counted call
 *   FAULT_KINDS   which kinds of call are counted; all that change something if it is not set:
 *                 o creating a file   w write   s sync   r rename   u unlink   t truncate   m mkdir
 *                 and, only by name: O opening without creating, p reading
 *   FAULT_AT      the number of the call, from 1, at which
 *   FAULT_DO      this is done, before the call: kill, stop (SIGSTOP), fail, fail-on (it and all that follow), short
 *                 (half of a write)
 *   FAULT_ERRNO   what failing says
 *   FAULT_NOSYNC  syncing files whose names end so is claimed and not done
 *   FAULT_STATFS  the type of file system that the library claims to be on
 *   FAULT_SHADOW  a directory that gets what a disk is sure to have: the content of a file as of its last sync
 *                 (inode-N), the names as of the last sync of the directory (durable), and, when killed, the names
 *                 that the program saw (live)
 *
 * Calls are made by number, not through the C library, so that nothing is counted twice.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define REPORT_SIZE 4096
#define MAX_FDS 4096
#define MAX_NAMES 256
#define NAME_SIZE 160

struct report {
    uint64_t n_calls;
    uint64_t n_fired;
    uint64_t n_connects;
    char fired[REPORT_SIZE - 24]; /* "KIND PATH" of the first call that something was done to */
};

struct name {
    char name[NAME_SIZE];
    int id;
};

struct names {
    struct name all[MAX_NAMES];
    int n;
};

enum verdict { PASS, FAIL, SHORT };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *dir, *kinds, *action, *nosync, *shadow;
static uint64_t at;
static int fault_errno, log_fd = -1;
static long fs_type;
static struct report nowhere, *report = &nowhere;
static char *fd_paths[MAX_FDS];
static struct names live, durable;
static int next_id = 1;

static int real_open(const char *path, int flags, mode_t mode) {
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

/* ---- what a disk is sure to have ---- */

static int find(const struct names *names, const char *name) {
    for (int i = 0; i < names->n; i++)
        if (strcmp(names->all[i].name, name) == 0) return i;
    return -1;
}

static void drop(struct names *names, const char *name) {
    int i = find(names, name);
    if (i >= 0) names->all[i] = names->all[--names->n];
}

static void put(struct names *names, const char *name, int id) {
    drop(names, name);
    if (names->n == MAX_NAMES || strlen(name) >= NAME_SIZE) abort();
    strcpy(names->all[names->n].name, name);
    names->all[names->n++].id = id;
}

/* The name within the library; NULL for the directory itself and for what lies deeper. */
static const char *name_of(const char *path) {
    const char *name = path + strlen(dir);
    if (*name != '/') return NULL;
    return strchr(++name, '/') ? NULL : name;
}

static void write_all(int fd, const char *bytes, size_t n) {
    while (n > 0) {
        ssize_t done = syscall(SYS_write, fd, bytes, n);
        if (done <= 0) abort();
        bytes += done;
        n -= (size_t)done;
    }
}

static void save_names(const struct names *names, const char *file) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", shadow, file);
    int fd = real_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0) abort();
    for (int i = 0; i < names->n; i++) {
        char line[NAME_SIZE + 32];
        int n = snprintf(line, sizeof line, "%d %s\n", names->all[i].id, names->all[i].name);
        write_all(fd, line, (size_t)n);
    }
    syscall(SYS_close, fd);
}

/* Reads through `from`, because opening a database anew and closing it would give up the locks on it. */
static void save_content(int from, int id) {
    char path[PATH_MAX], bytes[1 << 16];
    snprintf(path, sizeof path, "%s/inode-%d", shadow, id);
    int to = real_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (to < 0) abort();
    off_t offset = 0;
    ssize_t n;
    while ((n = syscall(SYS_pread64, from, bytes, sizeof bytes, offset)) > 0) {
        write_all(to, bytes, (size_t)n);
        offset += n;
    }
    if (n < 0) abort();
    syscall(SYS_close, to);
}

static void shadow_sync(int fd, const char *path) {
    const char *name = name_of(path);
    if (strcmp(path, dir) == 0) {
        durable = live;
        save_names(&durable, "durable");
        return;
    }
    int i = name ? find(&live, name) : -1;
    if (i < 0) return;
    if ((fcntl(fd, F_GETFL) & O_ACCMODE) != O_WRONLY) {
        save_content(fd, live.all[i].id);
        return;
    }
    char same[64];
    snprintf(same, sizeof same, "/proc/self/fd/%d", fd);
    int reader = real_open(same, O_RDONLY | O_CLOEXEC, 0);
    if (reader < 0) abort();
    save_content(reader, live.all[i].id);
    syscall(SYS_close, reader);
}

/* What is there when the program starts is all on the disk. */
static void shadow_start(void) {
    DIR *entries = opendir(dir);
    struct dirent *entry;
    while (entries && (entry = readdir(entries))) {
        char path[PATH_MAX];
        struct stat stat;
        snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        if (lstat(path, &stat) != 0 || !S_ISREG(stat.st_mode)) continue;
        int fd = real_open(path, O_RDONLY, 0);
        if (fd < 0) abort();
        put(&live, entry->d_name, next_id);
        save_content(fd, next_id++);
        syscall(SYS_close, fd);
    }
    if (entries) closedir(entries);
    durable = live;
    save_names(&durable, "durable");
}

/* ---- counting, and doing ---- */

__attribute__((constructor)) static void start(void) {
    const char *text;
    if ((text = getenv("FAULT_REPORT"))) {
        int fd = real_open(text, O_RDWR, 0);
        void *map = mmap(NULL, REPORT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (fd < 0 || map == MAP_FAILED) abort();
        report = map;
        syscall(SYS_close, fd);
    }
    if ((text = getenv("FAULT_LOG"))) log_fd = real_open(text, O_WRONLY | O_APPEND | O_CLOEXEC, 0);
    kinds = getenv("FAULT_KINDS");
    if (!kinds) kinds = "owsrutm";
    action = getenv("FAULT_DO");
    if (!action) action = "";
    at = (text = getenv("FAULT_AT")) ? strtoull(text, NULL, 10) : 0;
    fault_errno = (text = getenv("FAULT_ERRNO")) ? atoi(text) : EIO;
    fs_type = (text = getenv("FAULT_STATFS")) ? strtol(text, NULL, 0) : 0;
    nosync = getenv("FAULT_NOSYNC");
    shadow = getenv("FAULT_SHADOW");
    dir = getenv("FAULT_DIR");
    if (dir && shadow) shadow_start();
}

static int is_ours(const char *path) {
    size_t n = dir ? strlen(dir) : 0;
    return n && path && strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == 0);
}

static const char *path_of(int fd) {
    return fd >= 0 && fd < MAX_FDS ? fd_paths[fd] : NULL;
}

static void die(void) {
    if (shadow) save_names(&live, "live");
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

/* Counts a call; what is to become of it. Called with the lock held. */
static enum verdict judge(char kind, const char *path) {
    if (!is_ours(path) || !strchr(kinds, kind)) return PASS;
    uint64_t n = ++report->n_calls;
    if (log_fd >= 0) {
        char line[PATH_MAX + 4];
        int length = snprintf(line, sizeof line, "%c %s\n", kind, path);
        write_all(log_fd, line, (size_t)length);
    }
    int goes_on = strcmp(action, "fail-on") == 0;
    if (at == 0 || (goes_on ? n < at : n != at)) return PASS;
    if (report->n_fired++ == 0) snprintf(report->fired, sizeof report->fired, "%c %s", kind, path);
    if (strcmp(action, "kill") == 0) die();
    if (strcmp(action, "stop") == 0) syscall(SYS_kill, getpid(), SIGSTOP);
    if (strcmp(action, "fail") == 0 || goes_on) return FAIL;
    if (strcmp(action, "short") == 0) return SHORT;
    return PASS;
}

static long failed(void) {
    errno = fault_errno;
    return -1;
}

/* One call between counting and dying; `effect` is what it means for the names on the disk. */
#define GUARDED(kind, path, call, effect)                                        \
    ({                                                                           \
        pthread_mutex_lock(&lock);                                               \
        enum verdict verdict_ = judge(kind, path);                               \
        long result_ = verdict_ == FAIL ? failed() : (long)(call);               \
        int errno_ = errno;                                                      \
        if (result_ >= 0 && shadow && is_ours(path)) { effect; }                 \
        pthread_mutex_unlock(&lock);                                             \
        errno = errno_;                                                          \
        result_;                                                                 \
    })

/* The same for calls whose length can be cut: `half` sees LENGTH. */
#define WRITTEN(fd, length, half)                                                \
    ({                                                                           \
        pthread_mutex_lock(&lock);                                               \
        enum verdict verdict_ = judge('w', path_of(fd));                         \
        size_t LENGTH = verdict_ == SHORT && (length) > 1 ? (length) / 2 : (length); \
        long result_ = verdict_ == FAIL ? failed() : (long)(half);               \
        int errno_ = errno;                                                      \
        pthread_mutex_unlock(&lock);                                             \
        errno = errno_;                                                          \
        result_;                                                                 \
    })

static int opened(const char *path, int flags, mode_t mode) {
    char kind = flags & (O_CREAT | O_TRUNC) ? 'o' : 'O';
    int fd = (int)GUARDED(kind, path, real_open(path, flags, mode), ({
        const char *name = name_of(path);
        if (name && *name && (flags & O_CREAT) && find(&live, name) < 0) put(&live, name, next_id++);
    }));
    if (fd >= 0 && fd < MAX_FDS) {
        free(fd_paths[fd]);
        fd_paths[fd] = is_ours(path) ? strdup(path) : NULL;
    }
    return fd;
}

static mode_t mode_of(int flags, va_list arguments) {
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

#define OPEN(name)                                                               \
    int name(const char *path, int flags, ...) {                                 \
        va_list arguments;                                                       \
        va_start(arguments, flags);                                              \
        mode_t mode = mode_of(flags, arguments);                                 \
        va_end(arguments);                                                       \
        return opened(path, flags, mode);                                        \
    }
#define OPENAT(name)                                                             \
    int name(int at_fd, const char *path, int flags, ...) {                      \
        va_list arguments;                                                       \
        va_start(arguments, flags);                                              \
        mode_t mode = mode_of(flags, arguments);                                 \
        va_end(arguments);                                                       \
        if (at_fd == AT_FDCWD || *path == '/') return opened(path, flags, mode); \
        return (int)syscall(SYS_openat, at_fd, path, flags, mode);               \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

int close(int fd) {
    if (fd >= 0 && fd < MAX_FDS) {
        free(fd_paths[fd]);
        fd_paths[fd] = NULL;
    }
    return (int)syscall(SYS_close, fd);
}

ssize_t read(int fd, void *bytes, size_t n) {
    if (!path_of(fd)) return syscall(SYS_read, fd, bytes, n);
    return GUARDED('p', path_of(fd), syscall(SYS_read, fd, bytes, n), (void)0);
}

ssize_t pread64(int fd, void *bytes, size_t n, off64_t offset) {
    if (!path_of(fd)) return syscall(SYS_pread64, fd, bytes, n, offset);
    return GUARDED('p', path_of(fd), syscall(SYS_pread64, fd, bytes, n, offset), (void)0);
}

ssize_t pread(int fd, void *bytes, size_t n, off_t offset) { return pread64(fd, bytes, n, offset); }

ssize_t write(int fd, const void *bytes, size_t n) {
    if (!path_of(fd)) return syscall(SYS_write, fd, bytes, n);
    return WRITTEN(fd, n, syscall(SYS_write, fd, bytes, LENGTH));
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t offset) {
    if (!path_of(fd)) return syscall(SYS_pwrite64, fd, bytes, n, offset);
    return WRITTEN(fd, n, syscall(SYS_pwrite64, fd, bytes, LENGTH, offset));
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t offset) { return pwrite64(fd, bytes, n, offset); }

/* Written whole or not at all: who writes vectors goes on after fewer bytes as after fewer of one buffer. */
ssize_t writev(int fd, const struct iovec *parts, int n) {
    if (!path_of(fd)) return syscall(SYS_writev, fd, parts, n);
    return GUARDED('w', path_of(fd), syscall(SYS_writev, fd, parts, n), (void)0);
}

#define TRUNCATE(name, type)                                                     \
    int name(int fd, type length) {                                              \
        return (int)GUARDED('t', path_of(fd), syscall(SYS_ftruncate, fd, length), (void)0); \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

int fallocate(int fd, int mode, off_t offset, off_t length) {
    return (int)GUARDED('w', path_of(fd), syscall(SYS_fallocate, fd, mode, offset, length), (void)0);
}

ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t n, unsigned flags) {
    return GUARDED('w', path_of(to), syscall(SYS_copy_file_range, from, from_at, to, to_at, n, flags), (void)0);
}

ssize_t sendfile64(int to, int from, off64_t *offset, size_t n) {
    return GUARDED('w', path_of(to), syscall(SYS_sendfile, to, from, offset, n), (void)0);
}

static int synced(int fd, long call) {
    const char *path = path_of(fd);
    size_t n = path ? strlen(path) : 0, end = nosync ? strlen(nosync) : 0;
    int is_claimed = path && end && n >= end && strcmp(path + n - end, nosync) == 0;
    /* Nothing here reaches a real disk with a shadow: what counts is the shadow, and syncing takes long. */
    int is_done = !path || (!is_claimed && !shadow);
    return (int)GUARDED('s', path, is_done ? syscall(call, fd) : 0, ({
        if (!is_claimed) shadow_sync(fd, path);
    }));
}

int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

int rename(const char *from, const char *to) {
    return (int)GUARDED('r', to, syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0), ({
        const char *old = is_ours(from) ? name_of(from) : NULL, *new = name_of(to);
        int i = old ? find(&live, old) : -1;
        int id = i >= 0 ? live.all[i].id : next_id++;
        if (old) drop(&live, old);
        if (new) put(&live, new, id);
    }));
}

int unlinkat(int at_fd, const char *path, int flags) {
    const char *seen = at_fd == AT_FDCWD || *path == '/' ? path : NULL;
    return (int)GUARDED('u', seen, syscall(SYS_unlinkat, at_fd, path, flags), ({
        const char *name = name_of(path);
        if (name) drop(&live, name);
    }));
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdir(const char *path, mode_t mode) {
    return (int)GUARDED('m', path, syscall(SYS_mkdirat, AT_FDCWD, path, mode), (void)0);
}

/* ---- what else must be seen or claimed ---- */

int connect(int fd, const struct sockaddr *address, socklen_t n) {
    if (address && address->sa_family != AF_UNIX) __atomic_add_fetch(&report->n_connects, 1, __ATOMIC_SEQ_CST);
    return (int)syscall(SYS_connect, fd, address, n);
}

/* Whether a path is where the library lies, or above: a place is asked for before there is a library. */
static int is_on_the_way(const char *path) {
    size_t n = path ? strlen(path) : 0;
    return is_ours(path) || (dir && n && strncmp(dir, path, n) == 0 && (dir[n] == '/' || path[n - 1] == '/'));
}

int fstatfs(int fd, struct statfs *buffer) {
    int result = (int)syscall(SYS_fstatfs, fd, buffer);
    if (result == 0 && fs_type && path_of(fd)) buffer->f_type = fs_type;
    return result;
}

int statfs(const char *path, struct statfs *buffer) {
    int result = (int)syscall(SYS_statfs, path, buffer);
    if (result == 0 && fs_type && is_on_the_way(path)) buffer->f_type = fs_type;
    return result;
}

int fstatfs64(int fd, struct statfs64 *buffer) { return fstatfs(fd, (struct statfs *)buffer); }
int statfs64(const char *path, struct statfs64 *buffer) { return statfs(path, (struct statfs *)buffer); }
