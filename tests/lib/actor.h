/* The path of the actor, the program that does what its arguments say
 * (tests/integration/programs/actor.c), for the command= of a worker. */
#pragma once

const char *actor(void);

/* The path of a copy of any program that every user may run, wherever the
 * original is; removed with the test's directory (unit_tmpdir()). */
const char *program_for_all(const char *path);
