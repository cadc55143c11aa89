/* Connections over loopback from an address of the process's own: preloaded before the C library (see proxies.rs). */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int connect(int socket, const struct sockaddr *to, socklen_t size) {
  const char *from = getenv("BANYAN_CHAOS_FROM");
  if (from && to->sa_family == AF_INET && size >= sizeof(struct sockaddr_in)) {
    struct sockaddr_in own = {.sin_family = AF_INET};
    if (inet_pton(AF_INET, from, &own.sin_addr) == 1) {
      /* A second try on one socket has bound it already. */
      (void)bind(socket, (const struct sockaddr *)&own, sizeof own);
    }
  }
  return (int)syscall(SYS_connect, socket, to, size);
}
