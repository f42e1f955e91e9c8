/* From Python's multiprocessing to libreeve: what processes share, the second part
 * of reeve_multiprocessing(7). The first one, from_multiprocessing.c, says what
 * differs everywhere.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <reeve/reeve.h>

#define SECOND UINT64_C(1000000)

/* A call of which nothing but success is expected here. */
static void must(int r, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(-r));
	abort();
}

/* == Shared memory: Value and Array ==
 *     total = Value("q", 0)
 *     squares = Array("i", 4)
 *
 *     def fill():
 *         for i in range(4):
 *             squares[i] = i * i
 *             with total.get_lock():
 *                 total.value += i * i
 *
 *     p = Process(target=fill); p.start(); p.join()
 *     print(squares[:], total.value)
 *
 * A process inherits the handle: give it keep_fds, or the fds by number.
 */
struct sums {
	reeve_array *squares;
	reeve_value *total;
};

static int fill(void *arg)
{
	const struct sums *s = arg;
	int *squares = reeve_array_data(s->squares);

	for (int i = 0; i < 4; i++) {
		squares[i] = i * i;
		must(reeve_value_add(s->total, squares[i], NULL), "add");
	}
	return 0;
}

static void shared_memory(void)
{
	struct sums s;
	struct reeve_process_spec spec = {
		.function = fill,
		.arg = &s,
		.keep_fds = true,
	};
	reeve_process *p;
	const int *squares;
	long long total;

	must(reeve_array_new(&(struct reeve_array_spec){ .type = REEVE_INT,
							 .n_items = 4 },
			     &s.squares),
	     "array");
	must(reeve_value_new(REEVE_LLONG, false, &s.total), "value");
	must(reeve_process_start(&spec, &p), "start");
	must(reeve_process_join(p, REEVE_FOREVER), "join");
	squares = reeve_array_data(s.squares);
	must(reeve_value_get(s.total, &total), "get");
	printf("%d %d %d %d, together %lld\n", squares[0], squares[1],
	       squares[2], squares[3], total);
	reeve_process_free(p);
	reeve_value_free(s.total);
	reeve_array_free(s.squares);
}

/* == Lock ==
 *     balance, lock = Value("i", 100, lock=False), Lock()
 *
 *     def deposit():
 *         for _ in range(10000):
 *             with lock: balance.value += 1
 *
 *     def withdraw():
 *         for _ in range(10000):
 *             with lock: balance.value -= 1
 *
 *     ps = [Process(target=f) for f in (deposit, withdraw)]
 *     for p in ps: p.start()
 *     for p in ps: p.join()
 *     print(balance.value)       # 100; without the lock anything
 *
 * In Python a killed holder leaves it locked. Here the next one has the lock, and
 * is told: what it guards may be half changed.
 */
struct account {
	reeve_lock *lock;
	reeve_value *balance;
};

static int change_balance(const struct account *a, int by)
{
	int *balance = reeve_value_data(a->balance);

	for (int i = 0; i < 10000; i++) {
		int r = reeve_lock_acquire(a->lock, REEVE_FOREVER);

		if (r == -EOWNERDEAD) {
			/* put right what the dead one was changing, then: */
			r = reeve_lock_repaired(a->lock);
		}
		must(r, "acquire");
		*balance += by;
		must(reeve_lock_release(a->lock), "release");
	}
	return 0;
}

static int deposit(void *arg)
{
	return change_balance(arg, 1);
}

static int withdraw(void *arg)
{
	return change_balance(arg, -1);
}

static void a_lock(void)
{
	int (*const functions[])(void *) = { deposit, withdraw };
	struct account a;
	reeve_process *ps[2];

	must(reeve_lock_new(&a.lock), "lock");
	must(reeve_value_new(REEVE_INT, true, &a.balance), "value");
	*(int *)reeve_value_data(a.balance) = 100;
	for (int i = 0; i < 2; i++) {
		struct reeve_process_spec spec = { .function = functions[i],
						   .arg = &a,
						   .keep_fds = true };

		must(reeve_process_start(&spec, &ps[i]), "start");
	}
	for (int i = 0; i < 2; i++) {
		must(reeve_process_join(ps[i], REEVE_FOREVER), "join");
		reeve_process_free(ps[i]);
	}
	printf("balance: %d\n", *(int *)reeve_value_data(a.balance));
	reeve_value_free(a.balance);
	reeve_lock_free(a.lock);
}

/* == Event, Semaphore, Condition, Barrier ==
 *     event = Event(); event.set(); event.wait(1.0)
 *     semaphore = Semaphore(2); semaphore.acquire(); semaphore.release()
 *     condition = Condition(lock)
 *     with condition: condition.notify()
 *     barrier = Barrier(1); barrier.wait()
 *
 * Units of a killed process come back (REEVE_SEMAPHORE_OWNED), and a barrier
 * that waits for one breaks: -EPIPE.
 */
static void an_event_and_others(void)
{
	reeve_lock *lock;
	reeve_event *event;
	reeve_semaphore *semaphore;
	reeve_condition *condition;
	reeve_barrier *barrier;

	must(reeve_event_new(&event), "event");
	must(reeve_event_set(event), "set");
	must(reeve_event_wait(event, SECOND), "wait");
	reeve_event_free(event);

	must(reeve_semaphore_new(&(struct reeve_semaphore_spec){ .units = 2 },
				 &semaphore),
	     "semaphore");
	must(reeve_semaphore_acquire(semaphore, REEVE_FOREVER), "acquire");
	must(reeve_semaphore_release(semaphore), "release");
	reeve_semaphore_free(semaphore);

	must(reeve_rlock_new(&lock), "rlock");
	must(reeve_condition_new(lock, &condition), "condition");
	must(reeve_lock_acquire(lock, REEVE_FOREVER), "acquire");
	must(reeve_condition_notify(condition), "notify");
	must(reeve_lock_release(lock), "release");
	reeve_condition_free(condition);
	reeve_lock_free(lock);

	must(reeve_barrier_new(&(struct reeve_barrier_spec){ .parties = 1 },
			       &barrier),
	     "barrier");
	must(reeve_barrier_wait(barrier, SECOND), "wait");
	reeve_barrier_free(barrier);
}

/* == Queue ==
 *     q = JoinableQueue(100)
 *
 *     def consume():
 *         while (item := q.get()) >= 0:
 *             print("got", item)
 *             q.task_done()
 *         q.task_done()
 *
 *     Process(target=consume).start()
 *     for i in (1, 2, -1): q.put(i)
 *     q.join()
 *
 * There is no thread behind it: what was put is there, whoever dies then.
 */
static int consume(void *arg)
{
	int item;

	do {
		must(reeve_queue_get(arg, &item, sizeof(item), REEVE_FOREVER,
				     NULL),
		     "get");
		if (item >= 0)
			printf("got %d\n", item);
		must(reeve_queue_task_done(arg), "task_done");
	} while (item >= 0);
	return 0;
}

static void a_queue(void)
{
	static const int items[] = { 1, 2, -1 };
	struct reeve_process_spec spec = { .function = consume,
					   .keep_fds = true };
	struct reeve_queue_spec bounds = { .max_items = 100,
					   .is_joinable = true };
	reeve_queue *q;
	reeve_process *p;

	must(reeve_queue_new(&bounds, &q), "queue");
	spec.arg = q;
	must(reeve_process_start(&spec, &p), "start");
	for (int i = 0; i < 3; i++)
		must(reeve_queue_put(q, &items[i], sizeof(int), REEVE_FOREVER),
		     "put");
	must(reeve_queue_join(q, REEVE_FOREVER, NULL), "join");
	must(reeve_process_join(p, REEVE_FOREVER), "join");
	reeve_process_free(p);
	reeve_queue_free(q);
}

/* == Pipe ==
 *     a, b = Pipe()              # duplex: both send and receive
 *     a.send("ping"); print(b.recv())
 *
 *     receiver, sender = Pipe(duplex=False)
 *     def say(what): sender.send(what)
 *     for word in ("one", "two"):
 *         Process(target=say, args=(word,)).start()
 *     print(sorted(receiver.recv() for _ in range(2)))
 *
 * In Python two processes that send on one end at the same time spoil the data.
 * Here messages stay whole, whoever sends.
 */
struct saying {
	reeve_connection *sender;
	char word[4];
};

static int say(void *arg)
{
	const struct saying *s = arg;

	return reeve_connection_send(s->sender, s->word, sizeof(s->word),
				     REEVE_FOREVER);
}

static void many_writers(void)
{
	struct saying s[2] = { { .word = "one" }, { .word = "two" } };
	reeve_connection *ends[2]; /* the first receives, the second sends */
	reeve_process *ps[2];
	char word[4];

	must(reeve_pipe_new(false, ends), "pipe");
	for (int i = 0; i < 2; i++) {
		struct reeve_process_spec spec = { .function = say,
						   .arg = &s[i],
						   .keep_fds = true };

		s[i].sender = ends[1];
		must(reeve_process_start(&spec, &ps[i]), "start");
	}
	for (int i = 0; i < 2; i++) {
		must(reeve_connection_recv(ends[0], word, sizeof(word),
					   REEVE_FOREVER, NULL),
		     "recv");
		printf("received %s\n", word);
	}
	for (int i = 0; i < 2; i++) {
		must(reeve_process_join(ps[i], REEVE_FOREVER), "join");
		reeve_process_free(ps[i]);
		reeve_connection_free(ends[i]);
	}
}

static void a_pipe(void)
{
	reeve_connection *ends[2];
	char text[16];

	must(reeve_pipe_new(true, ends), "pipe");
	must(reeve_connection_send(ends[0], "ping", 5, REEVE_FOREVER), "send");
	must(reeve_connection_recv(ends[1], text, sizeof(text), REEVE_FOREVER,
				   NULL),
	     "recv");
	printf("%s\n", text);
	reeve_connection_free(ends[0]);
	reeve_connection_free(ends[1]);
}

/* == Manager ==
 *     def enter(records, lock, who):
 *         with lock: records.append((who, len(records)))
 *
 *     with Manager() as manager:
 *         d = manager.dict()
 *         d["x"] = 1
 *         d["x"] += 1                # two steps, others may come between
 *         records, lock = manager.list(), manager.Lock()
 *         p = Process(target=enter, args=(records, lock, "child"))
 *         p.start(); p.join()
 *         print(d["x"], records[0])
 *
 * What lives in the server is any value of <reeve/any.h>. When the server is killed
 * there is another one, and each proxy is told once: -ESTALE. It is two orders
 * slower than shared memory, for which see above.
 */
struct book {
	reeve_proxy *records, *lock;
};

static int enter(void *arg)
{
	const struct book *b = arg;
	struct reeve_any record[2] = { REEVE_ANY("child") };

	must(reeve_proxy_acquire(b->lock, REEVE_FOREVER), "acquire");
	record[1] = REEVE_ANY(reeve_proxy_length(b->records));
	must(reeve_proxy_list_append(b->records, reeve_any_list(record, 2)),
	     "append");
	must(reeve_proxy_release(b->lock), "release");
	return 0;
}

static void records_of_a_child(reeve_manager *manager)
{
	struct book b;
	struct reeve_process_spec spec = { .function = enter, .arg = &b };
	struct reeve_any first;
	reeve_process *p;
	char text[32];

	must(reeve_proxy_open(manager, REEVE_OBJECT_LIST, NULL, NULL,
			      &b.records),
	     "list");
	must(reeve_proxy_open(manager, REEVE_OBJECT_LOCK, NULL, NULL, &b.lock),
	     "lock");
	must(reeve_process_start(&spec, &p), "start");
	must(reeve_process_join(p, REEVE_FOREVER), "join");
	reeve_process_free(p);
	must(reeve_proxy_list_get(b.records, 0, &first), "get");
	(void)reeve_any_print(&first, text, sizeof(text));
	printf("%s\n", text);
	reeve_any_free(&first);
	reeve_proxy_free(b.lock);
	reeve_proxy_free(b.records);
}

static void a_manager(void)
{
	reeve_manager *manager;
	reeve_proxy *d;
	struct reeve_any x;

	must(reeve_manager_start(NULL, &manager), "manager");
	must(reeve_proxy_open(manager, REEVE_OBJECT_DICT, NULL, NULL, &d),
	     "dict");
	must(reeve_proxy_dict_set(d, REEVE_ANY("x"), REEVE_ANY(1)), "set");
	must(reeve_proxy_dict_add(d, REEVE_ANY("x"), REEVE_ANY(1), NULL),
	     "add");
	must(reeve_proxy_dict_get(d, REEVE_ANY("x"), &x), "get");
	printf("x is %lld\n", (long long)x.integer);
	reeve_any_free(&x);
	records_of_a_child(manager);
	reeve_proxy_free(d);
	reeve_manager_free(manager);
}

/* == A remote Manager ==
 *     class M(BaseManager): pass
 *     M.register("numbers", callable=lambda: queue)
 *     server = M(("127.0.0.1", 0), authkey=b"secret"); server.start()
 *     client = M(server.address, authkey=b"secret"); client.connect()
 *     client.numbers().put(5)
 *
 * Nothing has to be registered: an object is found by its name and kind. For state
 * that machines share in production take a distributed store, like Redis: a Manager
 * is one process, without copies.
 */
static void a_remote_manager(void)
{
	struct reeve_manager_spec spec = {
		.address = "tcp:127.0.0.1:0",
		.authkey = "secret",
		.authkey_size = 6,
	};
	reeve_manager *server, *client;
	reeve_proxy *numbers;

	must(reeve_manager_start(&spec, &server), "server");
	must(reeve_manager_connect(reeve_manager_address(server), "secret", 6,
				   10 * SECOND, &client),
	     "connect");
	must(reeve_proxy_open(client, REEVE_OBJECT_QUEUE, "numbers", NULL,
			      &numbers),
	     "queue");
	must(reeve_proxy_queue_put(numbers, REEVE_ANY(5), REEVE_FOREVER),
	     "put");
	reeve_proxy_free(numbers);
	reeve_manager_free(client);
	reeve_manager_free(server);
}

/* == The program of what is shared ==
 *     if __name__ == "__main__":
 *         main()
 */
int main(void)
{
	shared_memory();
	a_lock();
	an_event_and_others();
	a_queue();
	a_pipe();
	many_writers();
	a_manager();
	a_remote_manager();
	return 0;
}
