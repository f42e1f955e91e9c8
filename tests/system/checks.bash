# shellcheck shell=bash
# For the scripts of this folder: checks that are counted, and a summary in
# libcheck's form.

checks=0 failures=0

# check WHAT COMMAND [ARG...]: COMMAND must succeed
check() {
	local what=$1 output
	shift
	checks=$((checks + 1))
	if output=$("$@" 2>&1); then
		return 0
	fi
	failures=$((failures + 1))
	printf 'FAILED: %s\n\tcommand: %s\n' "$what" "$*"
	printf '%s\n' "$output" | head -n 30 | sed 's/^/\t| /'
}

# check_not WHAT COMMAND [ARG...]: COMMAND must fail
check_not() {
	local what=$1
	shift
	check "$what" not "$@"
}
not() { ! "$@"; }

# within SECONDS COMMAND [ARG...]: succeeds as soon as COMMAND does
within() {
	local end=$((SECONDS + $1)) output
	shift
	while [ $SECONDS -le $end ]; do
		if output=$("$@" 2>&1); then
			return 0
		fi
		read -rt 0.05 <> <(:) || :
	done
	printf 'not within the time: %s\n%s\n' "$*" "$output"
	return 1
}

# skip REASON: nothing here can be tested; says so and ends well
skip() {
	printf 'SKIP: %s: %s\n' "${0##*/}" "$1"
	exit 0
}

# Call it last: its status is that of the test.
finish() {
	local percent=0
	[ $checks -eq 0 ] || percent=$((100 * (checks - failures) / checks))
	printf '%d%%: Checks: %d, Failures: %d, Errors: 0\n' $percent $checks $failures
	[ $failures -eq 0 ] && [ $checks -gt 0 ]
}
