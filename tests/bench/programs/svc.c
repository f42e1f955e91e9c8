/* svc [/FIFO [ID]]: the program that the benchmarks supervise.
 *
 * The first thing it does is to look at the clock; then it writes one struct
 * stamp to the FIFO and waits to be killed. So the time between a kill and the
 * first instruction of the replacement is the supervisor's and the kernel's
 * alone: there is no libc and no dynamic linker in it, and a thousand of it
 * cost a few MB.
 *
 * Without a FIFO (which begins with a slash) it is ./fifo, and the ID 0: under
 * runit and s6 this program is itself the "run" of a service directory, and
 * s6 has an argument of its own for that.
 */
#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/time.h>
#include <linux/time_types.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/bench/programs/stamp.h"

#define NSEC_PER_SEC UINT64_C(1000000000)

#if defined(__x86_64__)
static long call(long number, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	long r;

	__asm__ volatile("syscall"
			 : "=a"(r)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return r;
}

/* The kernel leaves argc and what follows on the stack. */
__asm__(".globl _start\n"
	"_start:\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call begin\n");
#elif defined(__aarch64__)
static long call(long number, long a, long b, long c, long d)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;

	__asm__ volatile("svc #0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3)
			 : "memory");
	return x0;
}

__asm__(".globl _start\n"
	"_start:\n"
	"	mov x0, sp\n"
	"	bl begin\n");
#else
#error "svc.c knows the system calls of x86-64 and aarch64 only"
#endif

_Noreturn void begin(const long *stack);

static uint64_t now_nsec(void)
{
	struct __kernel_timespec t = { 0 };

	call(__NR_clock_gettime, CLOCK_MONOTONIC, (long)&t, 0, 0);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

static uint32_t number(const char *s)
{
	uint32_t n = 0;

	for (; *s >= '0' && *s <= '9'; s++)
		n = n * 10 + (uint32_t)(*s - '0');
	return n;
}

_Noreturn void begin(const long *stack)
{
	struct stamp stamp = { .nsec = now_nsec() };
	const char *const *argv = (const char *const *)(stack + 1);
	bool is_told = stack[0] > 1 && argv[1][0] == '/';
	long fd;

	stamp.pid = (uint32_t)call(__NR_getpid, 0, 0, 0, 0);
	stamp.id = is_told && stack[0] > 2 ? number(argv[2]) : 0;
	fd = call(__NR_openat, AT_FDCWD, (long)(is_told ? argv[1] : "fifo"),
		  O_WRONLY | O_CLOEXEC, 0);
	if (fd >= 0) {
		call(__NR_write, fd, (long)&stamp, sizeof(stamp), 0);
		call(__NR_close, fd, 0, 0, 0);
	}
	for (;;) /* until a signal ends it: ppoll of nothing, for ever */
		call(__NR_ppoll, 0, 0, 0, 0);
}
