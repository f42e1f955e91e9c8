/* A balance that two processes change at the same time: one deposits, one
 * withdraws, as often. Shows a Lock: without it, changes get lost, since
 * "balance + 1" is read, added and written, and the other one comes in between.
 * With it, it is 100 each time.
 *
 * The balance is memory that a child has, too, and so is the lock: a child that
 * is a function of this program just uses the handle.
 */
#include <stdio.h>
#include <sys/mman.h>

#include <reeve/process.h>
#include <reeve/sync.h>

#define ROUNDS	10
#define CHANGES 10000

struct bank {
	int balance;
	reeve_lock *lock;
};

static int change(struct bank *bank, int by)
{
	for (int i = 0; i < CHANGES; i++) {
		if (reeve_lock_acquire(bank->lock, REEVE_FOREVER) < 0)
			return 1;
		bank->balance += by;
		if (reeve_lock_release(bank->lock) < 0)
			return 1;
	}
	return 0;
}

static int deposit(void *arg)
{
	return change(arg, 1);
}

static int withdraw(void *arg)
{
	return change(arg, -1);
}

static int run_round(struct bank *bank)
{
	struct reeve_process_spec specs[2] = {
		{ .function = deposit, .arg = bank },
		{ .function = withdraw, .arg = bank },
	};
	reeve_process *processes[2] = { NULL, NULL };
	int status = 0;

	for (int i = 0; i < 2; i++)
		if (reeve_process_start(&specs[i], &processes[i]) < 0)
			status = 1;
	for (int i = 0; i < 2; i++) {
		int code = 1;

		(void)reeve_process_join(processes[i], REEVE_FOREVER);
		if (reeve_process_exitcode(processes[i], &code) != 1 || code)
			status = 1;
		(void)reeve_process_free(processes[i]);
	}
	return status;
}

int main(void)
{
	struct bank *bank = mmap(NULL, sizeof(*bank), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status = 0;

	if (bank == MAP_FAILED || reeve_lock_new(&bank->lock) < 0)
		return 1;
	for (int i = 1; i <= ROUNDS && status == 0; i++) {
		bank->balance = 100;
		status = run_round(bank);
		printf("round %d: %d\n", i, bank->balance);
	}
	(void)reeve_lock_free(bank->lock);
	return status;
}
