/* Records in a shared list: a manager holds a list of (name, grade) records; one
 * process adds a record, another prints all, as in Python's
 *
 *     with Manager() as manager:
 *         records = manager.list([("Sam", 10), ("Adam", 9), ("Kevin", 9)])
 *         p1 = Process(target=insert_record, args=(("Jeff", 8), records))
 *         p2 = Process(target=print_records, args=(records,))
 *
 * Prints:
 *
 *     Jeff was added
 *     Sam: 10
 *     Adam: 9
 *     Kevin: 9
 *     Jeff: 8
 *
 * Shows: values made of parts, a proxy that forked children go on using (each gets
 * a connection of its own), and that the server ends with who has started it.
 */
#include <stdio.h>
#include <string.h>

#include <reeve/reeve.h>

static int insert_record(void *arg)
{
	struct reeve_any record[] = { REEVE_ANY("Jeff"), REEVE_ANY(8) };
	int r = reeve_proxy_list_append(arg, reeve_any_list(record, 2));

	if (r < 0) {
		fprintf(stderr, "append: %s\n", strerror(-r));
		return 1;
	}
	printf("%s was added\n", record[0].string);
	return 0;
}

static int print_records(void *arg)
{
	struct reeve_any records;
	int r = reeve_proxy_items(arg, &records);

	if (r < 0) {
		fprintf(stderr, "items: %s\n", strerror(-r));
		return 1;
	}
	for (size_t i = 0; i < records.n; i++) {
		const struct reeve_any *record = records.items[i].items;

		printf("%s: %lld\n", record[0].string,
		       (long long)record[1].integer);
	}
	reeve_any_free(&records);
	return 0;
}

static int run(int (*function)(void *arg), reeve_proxy *records)
{
	struct reeve_process_spec spec = { .function = function,
					   .arg = records };
	reeve_process *p;
	int code = 1;

	if (reeve_process_start(&spec, &p) < 0)
		return 1;
	(void)reeve_process_join(p, REEVE_FOREVER);
	(void)reeve_process_exitcode(p, &code);
	reeve_process_free(p);
	return code;
}

int main(void)
{
	struct reeve_any sam[] = { REEVE_ANY("Sam"), REEVE_ANY(10) };
	struct reeve_any adam[] = { REEVE_ANY("Adam"), REEVE_ANY(9) };
	struct reeve_any kevin[] = { REEVE_ANY("Kevin"), REEVE_ANY(9) };
	struct reeve_any all[] = { reeve_any_list(sam, 2),
				   reeve_any_list(adam, 2),
				   reeve_any_list(kevin, 2) };
	struct reeve_object_spec spec = { .value = reeve_any_list(all, 3) };
	reeve_manager *manager;
	reeve_proxy *records;
	int r = reeve_manager_start(NULL, &manager);

	if (r < 0) {
		fprintf(stderr, "no manager: %s\n", strerror(-r));
		return 1;
	}
	r = reeve_proxy_open(manager, REEVE_OBJECT_LIST, NULL, &spec, &records);
	if (r >= 0) {
		r = run(insert_record, records);
		if (r == 0)
			r = run(print_records, records);
		reeve_proxy_free(records);
	}
	reeve_manager_free(manager);
	return r == 0 ? 0 : 1;
}
