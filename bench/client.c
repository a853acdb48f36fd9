/*
 * The program that works on the mounts of `npm run bench -- driver`: bare system calls, so that the figures are those of the file
 * system and not of its user. Compiled by the benchmark (cc -O2 -pthread). Prints one line of JSON.
 *
 *   stat DIR ROUNDS                       fstatat(2) of every name in DIR, ROUNDS times, after one that is not timed
 *   write FILE BLOCK BYTES                makes FILE; writing and close(2) are timed apart
 *   read FILE BLOCK                       from the start to the end, after the kernel's pages of it have gone
 *   reread FILE BLOCK ROUNDS              the same, opened anew each time, all in the page cache
 *   single FILE BLOCK ROUNDS              as reread, but every page came into the cache alone: none of them lies in a large folio
 *   random FILE BLOCK COUNT THREADS       COUNT different blocks in random order, none of them in the page cache
 *   create DIR COUNT SUFFIX               files of one byte
 *   unlink DIR COUNT SUFFIX
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void report(double ms, double close_ms, long ops, long long bytes) {
  printf("{\"ms\":%.3f,\"closeMs\":%.3f,\"ops\":%ld,\"bytes\":%lld}\n", ms, close_ms, ops, bytes);
}

static void *aligned(size_t bytes) {
  void *memory;
  if (posix_memalign(&memory, 4096, bytes) != 0) fail("memory");
  memset(memory, 'x', bytes);
  return memory;
}

static void do_stat(const char *dir, int rounds) {
  DIR *stream = opendir(dir);
  if (!stream) fail(dir);
  size_t count = 0, room = 1024;
  char **names = malloc(room * sizeof *names);
  for (struct dirent *entry; (entry = readdir(stream));) {
    if (entry->d_name[0] == '.') continue;
    if (count == room) names = realloc(names, (room *= 2) * sizeof *names);
    names[count++] = strdup(entry->d_name);
  }
  double start = 0;
  struct stat facts;
  for (int round = 0; round <= rounds; round++) {
    if (round == 1) start = now();
    for (size_t i = 0; i < count; i++) if (fstatat(dirfd(stream), names[i], &facts, AT_SYMLINK_NOFOLLOW) != 0) fail(names[i]);
  }
  report(now() - start, 0, (long)count * rounds, 0);
}

static void do_write(const char *path, size_t block, long long bytes) {
  char *data = aligned(block);
  double start = now();
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0) fail(path);
  for (long long done = 0; done < bytes; done += (long long)block) if (write(fd, data, block) != (ssize_t)block) fail("write");
  double written = now();
  if (close(fd) != 0) fail("close");
  report(written - start, now() - written, bytes / (long long)block, bytes);
}

static void drop(int fd) {
  int problem = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  if (problem != 0) { errno = problem; fail("fadvise"); }
}

static long long read_all(const char *path, char *data, size_t block) {
  int fd = open(path, O_RDONLY);
  if (fd < 0) fail(path);
  long long bytes = 0;
  for (ssize_t n; (n = read(fd, data, block)) != 0; bytes += n) if (n < 0) fail("read");
  if (close(fd) != 0) fail("close");
  return bytes;
}

/* rounds 0: once, from the file system; else so often from the page cache. */
static void do_read(const char *path, size_t block, int rounds) {
  char *data = aligned(block);
  if (rounds == 0) {
    int fd = open(path, O_RDONLY);
    if (fd < 0) fail(path);
    drop(fd);
    close(fd);
  } else {
    read_all(path, data, block);
    read_all(path, data, block);
  }
  double start = now();
  long long bytes = 0;
  for (int round = 0; round < (rounds ? rounds : 1); round++) bytes += read_all(path, data, block);
  report(now() - start, 0, bytes / (long long)block, bytes);
}

static void do_single(const char *path, size_t block, int rounds) {
  char *data = aligned(block);
  int fd = open(path, O_RDONLY);
  if (fd < 0) fail(path);
  drop(fd);
  posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
  /* Backwards, so that nothing takes it for sequential reading. */
  long long size = lseek(fd, 0, SEEK_END);
  for (long long at = (size - 1) / 4096 * 4096; at >= 0; at -= 4096) if (pread(fd, data, 4096, at) < 0) fail("pread");
  close(fd);
  read_all(path, data, block);
  double start = now();
  long long bytes = 0;
  for (int round = 0; round < rounds; round++) bytes += read_all(path, data, block);
  report(now() - start, 0, bytes / (long long)block, bytes);
}

struct share { const char *path; const long long *blocks; long count; size_t block; pthread_barrier_t *begin; };

static void *random_thread(void *argument) {
  struct share *share = argument;
  char *data = aligned(share->block);
  int fd = open(share->path, O_RDONLY);
  if (fd < 0) fail(share->path);
  /* No reading ahead: a request for each read. */
  posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
  drop(fd);
  pthread_barrier_wait(share->begin);
  for (long i = 0; i < share->count; i++)
    if (pread(fd, data, share->block, share->blocks[i] * (long long)share->block) != (ssize_t)share->block) fail("pread");
  close(fd);
  return NULL;
}

static void do_random(const char *path, size_t block, long count, int threads) {
  struct stat facts;
  if (stat(path, &facts) != 0) fail(path);
  long total = facts.st_size / (long)block;
  if (count > total) { errno = EINVAL; fail("more reads than blocks"); }
  long long *blocks = malloc(total * sizeof *blocks);
  for (long i = 0; i < total; i++) blocks[i] = i;
  srandom(threads);
  for (long i = total - 1; i > 0; i--) {
    long j = random() % (i + 1);
    long long swap = blocks[i];
    blocks[i] = blocks[j];
    blocks[j] = swap;
  }
  pthread_barrier_t begin;
  pthread_barrier_init(&begin, NULL, threads + 1);
  pthread_t *ids = malloc(threads * sizeof *ids);
  struct share *shares = malloc(threads * sizeof *shares);
  long each = count / threads;
  for (int t = 0; t < threads; t++) {
    shares[t] = (struct share){ path, blocks + t * each, each, block, &begin };
    if (pthread_create(&ids[t], NULL, random_thread, &shares[t]) != 0) fail("thread");
  }
  pthread_barrier_wait(&begin);
  double start = now();
  for (int t = 0; t < threads; t++) pthread_join(ids[t], NULL);
  report(now() - start, 0, each * threads, each * threads * (long long)block);
}

static void do_names(const char *dir, long count, const char *suffix, int making) {
  char name[64];
  int at = open(dir, O_RDONLY | O_DIRECTORY);
  if (at < 0) fail(dir);
  double start = now();
  for (long i = 0; i < count; i++) {
    /* Names that begin with a dot have a history of their own (src/cache/metadata.ts): only those that must have one. */
    snprintf(name, sizeof name, "%smade-%05ld%s", strcmp(suffix, ".swp") == 0 ? "." : "", i, suffix);
    if (!making) {
      if (unlinkat(at, name, 0) != 0) fail(name);
      continue;
    }
    int fd = openat(at, name, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (fd < 0 || write(fd, "x", 1) != 1 || close(fd) != 0) fail(name);
  }
  report(now() - start, 0, count, 0);
}

int main(int argc, char **argv) {
  const char *verb = argc > 2 ? argv[1] : "";
  const char *path = argc > 2 ? argv[2] : "";
  if (!strcmp(verb, "stat") && argc == 4) do_stat(path, atoi(argv[3]));
  else if (!strcmp(verb, "write") && argc == 5) do_write(path, atol(argv[3]), atoll(argv[4]));
  else if (!strcmp(verb, "read") && argc == 4) do_read(path, atol(argv[3]), 0);
  else if (!strcmp(verb, "reread") && argc == 5) do_read(path, atol(argv[3]), atoi(argv[4]));
  else if (!strcmp(verb, "single") && argc == 5) do_single(path, atol(argv[3]), atoi(argv[4]));
  else if (!strcmp(verb, "random") && argc == 6) do_random(path, atol(argv[3]), atol(argv[4]), atoi(argv[5]));
  else if (!strcmp(verb, "create") && argc == 5) do_names(path, atol(argv[3]), argv[4], 1);
  else if (!strcmp(verb, "unlink") && argc == 5) do_names(path, atol(argv[3]), argv[4], 0);
  else { errno = EINVAL; fail("arguments"); }
  return 0;
}
