/* How many instructions lie between two kills of a test that steps: a sanitizer
 * makes some dozens of one, and looks for what does not depend on the moment. */
#pragma once

#ifdef __SANITIZE_ADDRESS__
#define STEP_FACTOR 180
#else
#define STEP_FACTOR 1
#endif
