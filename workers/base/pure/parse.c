/* Parsers of single values. Each one reads its whole text before it answers,
 * so that -EINVAL (not of this form) wins over -ERANGE (too much of it): what
 * is told to the operator then names the first thing to mend.
 *
 * Nothing here depends on the locale or on errno, which rules out strtoul(),
 * isdigit() and strcasecmp(). Arithmetic is checked by the compiler's
 * overflow builtins; there is no undefined behaviour to fuzz for.
 */
#include "workers/base/pure/parse.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/str.h"
#include "workers/base/pure/usec.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static void skip_blanks(const char **s)
{
	while (**s == ' ' || **s == '\t')
		(*s)++;
}

/* Reads the digits at *s and moves it behind them. Returns 0, -EINVAL when
 * there are none, -ERANGE when they do not fit. */
static int scan_digits(const char **s, unsigned base, uint64_t *ret_value)
{
	uint64_t value = 0;
	bool overflow = false;
	const char *p = *s;

	for (; *p >= '0' && (unsigned)(*p - '0') < base; p++)
		overflow |= __builtin_mul_overflow(value, base, &value) ||
			    __builtin_add_overflow(value, (unsigned)(*p - '0'),
						   &value);
	if (p == *s)
		return -EINVAL;
	*s = p;
	if (overflow)
		return -ERANGE;
	*ret_value = value;
	return 0;
}

/* The whole of s as digits. */
static int parse_digits(const char *s, unsigned base, uint64_t *ret_value)
{
	int r = scan_digits(&s, base, ret_value);

	return *s == '\0' ? r : -EINVAL;
}

int parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret_value)
{
	uint64_t value;

	int r = parse_digits(s, 10, &value);
	if (r < 0)
		return r;
	if (value < min || value > max)
		return -ERANGE;
	*ret_value = value;
	return 0;
}

int parse_i64(const char *s, int64_t min, int64_t max, int64_t *ret_value)
{
	bool negative = *s == '-';
	uint64_t magnitude;
	int64_t value;

	int r = parse_digits(s + (*s == '-' || *s == '+'), 10, &magnitude);
	if (r < 0)
		return r;
	if (negative ? __builtin_sub_overflow(0, magnitude, &value)
		     : __builtin_add_overflow(0, magnitude, &value))
		return -ERANGE;
	if (value < min || value > max)
		return -ERANGE;
	*ret_value = value;
	return 0;
}

int parse_bool(const char *s, bool *ret_value)
{
	static const struct {
		const char *yes, *no;
	} words[] = {
		{ "true", "false" }, { "yes", "no" }, { "on", "off" },
		{ "1", "0" },	     { "t", "f" },    { "y", "n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		bool yes = str_equal_nocase(s, words[i].yes);
		if (yes || str_equal_nocase(s, words[i].no)) {
			*ret_value = yes;
			return 0;
		}
	}
	return -EINVAL;
}

/* --- time and size ------------------------------------------------------- */

struct unit {
	const char *name;
	uint64_t factor;
};

/* Reads the letters at *s as the name of a unit. NULL: it is none. */
static const struct unit *scan_unit(const char **s, const struct unit *units,
				    size_t n_units, bool nocase)
{
	char name[4] = ""; /* longer than the longest there is */
	size_t n = 0;

	while (n < sizeof(name) && str_lower((*s)[n]) >= 'a' &&
	       str_lower((*s)[n]) <= 'z')
		n++;
	if (n == sizeof(name))
		return NULL;
	memcpy(name, *s, n);
	for (size_t i = 0; i < n_units; i++) {
		if (nocase ? !str_equal_nocase(name, units[i].name)
			   : !str_equal(name, units[i].name))
			continue;
		*s += n;
		return &units[i];
	}
	return NULL;
}

/* factor times 0.digits, rounded down. From the last digit to the first, each
 * step rounded down, gives the same as the whole rounded down; and nothing
 * overflows, however many digits there are. */
static uint64_t fraction_of(uint64_t factor, const char *digits, size_t n)
{
	uint64_t value = 0;

	while (n-- > 0)
		value = ((uint64_t)(digits[n] - '0') * factor + value) / 10;
	return value;
}

/* Reads a number, blanks and a unit, such as "1.5 h", at *s. *ret_bare says
 * that the unit was left out. */
static int scan_span(const char **s, uint64_t *ret_usec, bool *ret_bare)
{
	static const struct unit units[] = {
		{ "", USEC_PER_SEC },	  { "us", 1 },
		{ "ms", USEC_PER_MSEC },  { "s", USEC_PER_SEC },
		{ "sec", USEC_PER_SEC },  { "min", USEC_PER_MINUTE },
		{ "m", USEC_PER_MINUTE }, { "h", USEC_PER_HOUR },
		{ "d", USEC_PER_DAY },
	};
	const char *fraction = "";
	size_t n_fraction = 0;
	uint64_t whole = 0;

	int r = scan_digits(s, 10, &whole);
	if (r == -EINVAL && **s != '.')
		return -EINVAL;
	if (**s == '.') {
		fraction = ++*s;
		while (is_digit(**s))
			(*s)++;
		n_fraction = (size_t)(*s - fraction);
		if (n_fraction == 0)
			return -EINVAL;
	}
	skip_blanks(s);
	const struct unit *unit = scan_unit(s, units, ARRAY_SIZE(units), false);
	if (unit == NULL)
		return -EINVAL;
	*ret_bare = unit->name[0] == '\0';
	if (r == -ERANGE ||
	    __builtin_mul_overflow(whole, unit->factor, ret_usec) ||
	    __builtin_add_overflow(
		    *ret_usec, fraction_of(unit->factor, fraction, n_fraction),
		    ret_usec))
		return -ERANGE;
	return 0;
}

static bool is_blank_before(const char *begin, const char *s)
{
	return s > begin && (s[-1] == ' ' || s[-1] == '\t');
}

int parse_usec(const char *s, uint64_t *ret_usec)
{
	const char *begin = s;
	uint64_t sum = 0, span = 0;
	int error = 0, n = 0;
	bool bare = false;

	if (str_equal(s, "infinity")) {
		*ret_usec = USEC_INFINITY;
		return 0;
	}
	do {
		int r = scan_span(&s, &span, &bare);
		if (r == -EINVAL || (bare && (n > 0 || *s != '\0')))
			return -EINVAL;
		if (r < 0 || __builtin_add_overflow(sum, span, &sum))
			error = -ERANGE;
		n++;
		skip_blanks(&s);
	} while (*s != '\0');
	if (is_blank_before(begin, s))
		return -EINVAL;
	if (error < 0 || sum == USEC_INFINITY)
		return -ERANGE;
	*ret_usec = sum;
	return 0;
}

int parse_size(const char *s, uint64_t *ret_bytes)
{
	static const struct unit units[] = {
		{ "", 1 },
		{ "k", UINT64_C(1) << 10 },
		{ "kb", UINT64_C(1) << 10 },
		{ "m", UINT64_C(1) << 20 },
		{ "mb", UINT64_C(1) << 20 },
		{ "g", UINT64_C(1) << 30 },
		{ "gb", UINT64_C(1) << 30 },
		{ "t", UINT64_C(1) << 40 },
		{ "tb", UINT64_C(1) << 40 },
	};
	const char *begin = s;
	uint64_t value = 0;

	int r = scan_digits(&s, 10, &value);
	if (r == -EINVAL)
		return -EINVAL;
	skip_blanks(&s);
	const struct unit *unit = scan_unit(&s, units, ARRAY_SIZE(units), true);
	if (unit == NULL || *s != '\0' || is_blank_before(begin, s))
		return -EINVAL;
	if (r < 0 || __builtin_mul_overflow(value, unit->factor, &value))
		return -ERANGE;
	*ret_bytes = value;
	return 0;
}

int parse_octal(const char *s, unsigned *ret_value)
{
	uint64_t value;

	int r = parse_digits(s, 8, &value);
	if (r < 0)
		return r;
	if (value > 07777)
		return -ERANGE;
	*ret_value = (unsigned)value;
	return 0;
}

/* --- signals ------------------------------------------------------------- */

/* By number. SIGSTKFLT is not everywhere; then its place stays empty. */
static const char *const signal_names[] = {
	[SIGHUP] = "SIGHUP",   [SIGINT] = "SIGINT",
	[SIGQUIT] = "SIGQUIT", [SIGILL] = "SIGILL",
	[SIGTRAP] = "SIGTRAP", [SIGABRT] = "SIGABRT",
	[SIGBUS] = "SIGBUS",   [SIGFPE] = "SIGFPE",
	[SIGKILL] = "SIGKILL", [SIGUSR1] = "SIGUSR1",
	[SIGSEGV] = "SIGSEGV", [SIGUSR2] = "SIGUSR2",
	[SIGPIPE] = "SIGPIPE", [SIGALRM] = "SIGALRM",
	[SIGTERM] = "SIGTERM", [SIGSTKFLT] = "SIGSTKFLT",
	[SIGCHLD] = "SIGCHLD", [SIGCONT] = "SIGCONT",
	[SIGSTOP] = "SIGSTOP", [SIGTSTP] = "SIGTSTP",
	[SIGTTIN] = "SIGTTIN", [SIGTTOU] = "SIGTTOU",
	[SIGURG] = "SIGURG",   [SIGXCPU] = "SIGXCPU",
	[SIGXFSZ] = "SIGXFSZ", [SIGVTALRM] = "SIGVTALRM",
	[SIGPROF] = "SIGPROF", [SIGWINCH] = "SIGWINCH",
	[SIGIO] = "SIGIO",     [SIGPWR] = "SIGPWR",
	[SIGSYS] = "SIGSYS",
};

static const struct {
	const char *name;
	int signo;
} signal_aliases[] = {
	{ "IOT", SIGABRT },
	{ "CLD", SIGCHLD },
	{ "POLL", SIGIO },
};

static bool has_prefix_nocase(const char *s, const char *prefix)
{
	while (*prefix != '\0' && str_lower(*s) == str_lower(*prefix))
		s++, prefix++;
	return *prefix == '\0';
}

/* What stands behind "RTMIN" or "RTMAX": nothing, or sign and an offset. */
static int parse_rt_offset(const char *s, char sign, uint64_t *ret_offset)
{
	if (*s == '\0') {
		*ret_offset = 0;
		return 0;
	}
	if (*s != sign)
		return -EINVAL;
	return parse_u64(s + 1, 0, (uint64_t)(SIGRTMAX - SIGRTMIN), ret_offset);
}

/* name without "SIG" */
static int parse_signal_name(const char *name, int *ret_signal)
{
	uint64_t offset;

	for (size_t i = 0; i < ARRAY_SIZE(signal_names); i++)
		if (signal_names[i] != NULL &&
		    str_equal_nocase(name, signal_names[i] + strlen("SIG"))) {
			*ret_signal = (int)i;
			return 0;
		}
	for (size_t i = 0; i < ARRAY_SIZE(signal_aliases); i++)
		if (str_equal_nocase(name, signal_aliases[i].name)) {
			*ret_signal = signal_aliases[i].signo;
			return 0;
		}
	bool from_min = has_prefix_nocase(name, "RTMIN");
	if (!from_min && !has_prefix_nocase(name, "RTMAX"))
		return -EINVAL;
	int r = parse_rt_offset(name + strlen("RTMIN"), from_min ? '+' : '-',
				&offset);
	if (r < 0)
		return r;
	*ret_signal =
		from_min ? SIGRTMIN + (int)offset : SIGRTMAX - (int)offset;
	return 0;
}

int parse_signal(const char *s, int *ret_signal)
{
	uint64_t number;

	if (!is_digit(*s))
		return parse_signal_name(
			s + (has_prefix_nocase(s, "SIG") ? strlen("SIG") : 0),
			ret_signal);

	int r = parse_u64(s, 1, (uint64_t)SIGRTMAX, &number);
	if (r < 0)
		return r;
	/* Between the named and the real-time ones are those that libc keeps
	 * to itself: they would end threads, not programs. */
	if (number >= ARRAY_SIZE(signal_names) && (int)number < SIGRTMIN)
		return -ERANGE;
	*ret_signal = (int)number;
	return 0;
}

const char *signal_name(int signo, char buf[static SIGNAL_NAME_MAX])
{
	if (signo > 0 && (size_t)signo < ARRAY_SIZE(signal_names) &&
	    signal_names[signo] != NULL)
		return signal_names[signo];
	if (signo == SIGRTMIN)
		return "SIGRTMIN";
	if (signo > SIGRTMIN && signo <= SIGRTMAX)
		(void)snprintf(buf, SIGNAL_NAME_MAX, "SIGRTMIN+%d",
			       (signo - SIGRTMIN) & 0x7f);
	else
		(void)snprintf(buf, SIGNAL_NAME_MAX, "signal %d", signo);
	return buf;
}

/* --- CPUs ---------------------------------------------------------------- */

/* "3" or "0-3" */
static int scan_cpu_range(const char **s, cpu_set_t *set)
{
	uint64_t first = 0;

	int error = scan_digits(s, 10, &first);
	if (error == -EINVAL)
		return -EINVAL;
	uint64_t last = first;
	if (**s == '-') {
		(*s)++;
		int r = scan_digits(s, 10, &last);
		if (r == -EINVAL)
			return -EINVAL;
		error = error < 0 ? error : r;
	}
	if (error < 0)
		return error;
	if (last < first)
		return -EINVAL;
	if (last >= CPU_SETSIZE)
		return -ERANGE;
	for (uint64_t cpu = first; cpu <= last; cpu++)
		CPU_SET(cpu, set);
	return 0;
}

int parse_cpus(const char *s, cpu_set_t *ret_cpus)
{
	cpu_set_t set;
	int error = 0;

	CPU_ZERO(&set);
	for (;;) {
		int r = scan_cpu_range(&s, &set);
		if (r == -EINVAL)
			return -EINVAL;
		error = error < 0 ? error : r;
		if (*s == '\0')
			break;

		/* Anything but separators is no digit either, and refused by
		 * the next round. */
		skip_blanks(&s);
		s += *s == ',';
		skip_blanks(&s);
	}
	if (error < 0)
		return error;
	*ret_cpus = set;
	return 0;
}

/* --- showing a span ------------------------------------------------------ */

/* Less than ten seconds, as seconds with two digits that say something, but
 * no more than three behind the point: "2.5s", "0.02s", "0.001s". */
static void seconds_text(uint64_t usec, char *buf)
{
	unsigned decimals = usec >= USEC_PER_SEC	? 1
			    : usec >= USEC_PER_SEC / 10 ? 2
							: 3;
	uint64_t step = decimals == 1 ? 100 : decimals == 2 ? 10 : 1;
	uint64_t msec = usec / USEC_PER_MSEC / step * step;
	int n = snprintf(buf, USEC_TEXT_MAX, "%u.%03u", (unsigned)(msec / 1000),
			 (unsigned)(msec % 1000));

	while (buf[n - 1] == '0')
		n--;
	n -= buf[n - 1] == '.';
	memcpy(buf + n, "s", 2);
}

const char *usec_text(uint64_t usec, char buf[static USEC_TEXT_MAX])
{
	static const struct {
		uint64_t usec;
		char name;
	} units[] = {
		{ USEC_PER_DAY, 'd' },
		{ USEC_PER_HOUR, 'h' },
		{ USEC_PER_MINUTE, 'm' },
		{ USEC_PER_SEC, 's' },
	};
	size_t i = 0;

	if (usec == USEC_INFINITY)
		return "infinity";
	if (usec == 0)
		return "0s";
	if (usec < USEC_PER_MSEC) {
		(void)snprintf(buf, USEC_TEXT_MAX, "%uus", (unsigned)usec);
		return buf;
	}
	if (usec < 10 * USEC_PER_SEC) {
		seconds_text(usec, buf);
		return buf;
	}
	while (usec < units[i].usec)
		i++;

	int n = snprintf(buf, USEC_TEXT_MAX, "%llu%c",
			 (unsigned long long)(usec / units[i].usec),
			 units[i].name);
	usec %= units[i].usec;
	if (++i < ARRAY_SIZE(units) && usec >= units[i].usec)
		(void)snprintf(buf + n, USEC_TEXT_MAX - (size_t)n, " %u%c",
			       (unsigned)(usec / units[i].usec), units[i].name);
	return buf;
}
