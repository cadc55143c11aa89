/* A wall clock that can be set under a running process: preloaded before the C library (see clocks.rs).
 *
 * Only what shows or waits for the wall clock is changed; CLOCK_MONOTONIC and CLOCK_BOOTTIME go to the kernel as they are. Nothing here
 * allocates memory or takes a lock: an allocator asks for the time while it makes itself ready. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* As clocks.rs writes it. Each field is written and read whole. */
struct setting {
  volatile int64_t ahead_ns;
  volatile int64_t since_boot_ns; /* from when the clock goes at another pace */
  volatile int64_t per_million;   /* so much faster; 0: at the right pace */
};

static const int64_t SECOND = 1000000000;
static struct setting right;
static const struct setting *setting;

static int kernel(clockid_t clock, struct timespec *time) { return (int)syscall(SYS_clock_gettime, clock, time); }

static int64_t nanoseconds(const struct timespec *time) { return (int64_t)time->tv_sec * SECOND + time->tv_nsec; }

static struct timespec spec(int64_t nanoseconds) {
  struct timespec time = {nanoseconds / SECOND, nanoseconds % SECOND};
  return time;
}

static const struct setting *now_set(void) {
  const struct setting *known = __atomic_load_n(&setting, __ATOMIC_ACQUIRE);
  if (known) return known;
  known = &right;
  const char *path = getenv("BANYAN_CHAOS_CLOCK");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file >= 0) {
    void *mapped = mmap(0, sizeof(struct setting), PROT_READ, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED) known = mapped;
    close(file);
  }
  __atomic_store_n(&setting, known, __ATOMIC_RELEASE);
  return known;
}

static int64_t ahead(void) {
  const struct setting *set = now_set();
  int64_t ahead = set->ahead_ns, pace = set->per_million;
  struct timespec boot;
  if (pace != 0 && kernel(CLOCK_BOOTTIME, &boot) == 0) {
    ahead += (nanoseconds(&boot) - set->since_boot_ns) / 1000000 * pace;
  }
  return ahead;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  int failed = kernel(clock, time);
  if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    *time = spec(nanoseconds(time) + ahead());
  }
  return failed;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
  (void)zone;
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
  time->tv_sec = now.tv_sec;
  time->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *told) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (told) *told = now.tv_sec;
  return now.tv_sec;
}

/* A deadline on the wall clock moves with it. One of before 2001 is of the clock since boot. */
int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict deadline) {
  if (deadline->tv_sec < SECOND) return pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, deadline);
  struct timespec there = spec(nanoseconds(deadline) - ahead());
  return pthread_cond_clockwait(condition, mutex, CLOCK_REALTIME, &there);
}
