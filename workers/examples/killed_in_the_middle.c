/* Deposits and withdrawals again, and in each round a third process is killed
 * while it holds the lock, with the balance half changed. Shows what a Lock says
 * then: the next one to acquire it gets -EOWNERDEAD, puts right what the lock
 * guards, says so, and everybody goes on. Afterwards it is 100 all the same.
 *
 * To be able to put it right, whoever changes the balance first writes down what
 * it was. That is the program's part: no lock can know what it guards.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>

#include <reeve/process.h>
#include <reeve/sync.h>

#define ROUNDS	10
#define CHANGES 10000

struct bank {
	volatile int balance;
	volatile int before;   /* what it was, */
	volatile bool changes; /* while this is set */
	volatile int n_repairs;
	reeve_lock *lock;
};

/* The lock is held, and a holder died. */
static int repair(struct bank *bank)
{
	if (bank->changes)
		bank->balance = bank->before;
	bank->changes = false;
	bank->n_repairs++;
	return reeve_lock_repaired(bank->lock);
}

static int acquire(struct bank *bank)
{
	int r = reeve_lock_acquire(bank->lock, REEVE_FOREVER);

	return r == -EOWNERDEAD ? repair(bank) : r;
}

static int change(struct bank *bank, int by)
{
	for (int i = 0; i < CHANGES; i++) {
		if (acquire(bank) < 0)
			return 1;
		bank->before = bank->balance;
		bank->changes = true;
		bank->balance += by;
		bank->changes = false;
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

/* Robs the bank, but does not get away. */
static int die_in_the_middle(void *arg)
{
	struct bank *bank = arg;

	if (acquire(bank) < 0)
		return 1;
	bank->before = bank->balance;
	bank->changes = true;
	bank->balance = -1000000;
	return raise(SIGKILL);
}

static int run_round(struct bank *bank)
{
	struct reeve_process_spec specs[3] = {
		{ .function = deposit, .arg = bank },
		{ .function = withdraw, .arg = bank },
		{ .function = die_in_the_middle, .arg = bank },
	};
	const int expected[3] = { 0, 0, -SIGKILL };
	reeve_process *processes[3] = { NULL, NULL, NULL };
	int status = 0;

	for (int i = 0; i < 3; i++)
		if (reeve_process_start(&specs[i], &processes[i]) < 0)
			status = 1;
	for (int i = 0; i < 3; i++) {
		int code = 1;

		(void)reeve_process_join(processes[i], REEVE_FOREVER);
		if (reeve_process_exitcode(processes[i], &code) != 1 ||
		    code != expected[i])
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
		bank->n_repairs = 0;
		status = run_round(bank);
		/* it may have died after the others were through */
		if (status == 0 && acquire(bank) < 0)
			return 1;
		printf("round %d: %d, repaired %d time(s)\n", i, bank->balance,
		       bank->n_repairs);
		(void)reeve_lock_release(bank->lock);
	}
	(void)reeve_lock_free(bank->lock);
	return status;
}
