/* libreeve: processes and pools for C, none of which hangs when one is killed.
 *
 * Properties
 *   What Python's multiprocessing is, for C on Linux. This header includes all
 *   others; a program may as well include those that it uses.
 * Operation
 *   Compile and link with `pkg-config --cflags --libs libreeve`.
 * Safety
 *   Each header says what may be called from where.
 */
#ifndef REEVE_REEVE_H
#define REEVE_REEVE_H

#include <reeve/any.h>
#include <reeve/manager.h>
#include <reeve/pipe.h>
#include <reeve/pool.h>
#include <reeve/process.h>
#include <reeve/queue.h>
#include <reeve/shared.h>
#include <reeve/sync.h>
#include <reeve/task.h>
#include <reeve/types.h>

#endif
