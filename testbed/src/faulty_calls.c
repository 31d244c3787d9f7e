// Loaded into a program by LD_PRELOAD: some of its system calls fail on purpose. Which, how and how often says a file
// that the test writes meanwhile: one row for each call.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

struct row {
    uint32_t error;   // errno
    uint32_t address; // of the only destination that it is for, in network order; 0: all
    uint32_t left;    // how often it still happens
};

enum { SENDMMSG, RECVMMSG, WRITEV, CALLS };

static struct row *rows;

__attribute__((constructor)) static void open_rows(void)
{
    const char *path = getenv("FAULTY_CALLS");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *memory = mmap(NULL, CALLS * sizeof *rows, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (memory != MAP_FAILED)
        rows = memory;
}

// Whether the call fails this time; errno then says how.
static int fails(int call)
{
    if (!rows)
        return 0;
    uint32_t left = __atomic_load_n(&rows[call].left, __ATOMIC_ACQUIRE);
    while (left > 0) {
        if (__atomic_compare_exchange_n(&rows[call].left, &left, left - 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            errno = (int)rows[call].error;
            return 1;
        }
    }
    return 0;
}

static int is_meant(const struct msghdr *message)
{
    if (!rows || __atomic_load_n(&rows[SENDMMSG].left, __ATOMIC_ACQUIRE) == 0)
        return 0;
    const struct sockaddr_in *name = message->msg_name;
    return rows[SENDMMSG].address == 0 || (name && name->sin_addr.s_addr == rows[SENDMMSG].address);
}

// As the kernel: an error of the first message is the call's, one of a later message makes the count short.
int sendmmsg(int socket, struct mmsghdr *messages, unsigned int count, int flags)
{
    unsigned int good = 0;
    while (good < count && !is_meant(&messages[good].msg_hdr))
        good++;
    if (good == 0 && count > 0 && fails(SENDMMSG))
        return -1;
    int (*real)(int, struct mmsghdr *, unsigned int, int) = dlsym(RTLD_NEXT, "sendmmsg");
    return real(socket, messages, good > 0 ? good : count, flags);
}

int recvmmsg(int socket, struct mmsghdr *messages, unsigned int count, int flags, struct timespec *timeout)
{
    if (fails(RECVMMSG))
        return -1;
    int (*real)(int, struct mmsghdr *, unsigned int, int, struct timespec *) = dlsym(RTLD_NEXT, "recvmmsg");
    return real(socket, messages, count, flags, timeout);
}

ssize_t writev(int file, const struct iovec *pieces, int count)
{
    if (fails(WRITEV))
        return -1;
    ssize_t (*real)(int, const struct iovec *, int) = dlsym(RTLD_NEXT, "writev");
    return real(file, pieces, count);
}
