/* From settings to a running process: the only caller of spawner_spawn(). */
#pragma once

struct worker;

/* Starts a process for w, which has none. Returns 0, or -errno with w->error
 * worded when no process could be made: our trouble, to be tried again. */
int start_process(struct worker *w);

/* The report pipe is readable: it runs, or why it does not. */
void start_read_report(struct worker *w);
