# reeve: one Makefile for the whole tree. `make help` lists the targets.
#
# One archive per layer, one program per test; sources are found by wildcard,
# so a new file needs no edit here. The tests also run in variants, which are
# this Makefile with another compiler and a build directory of their own.

VERSION := 0.1.0
ifeq ($(origin CC),default)
CC := gcc
endif
BUILD ?= build
# Warnings are errors in the variants that `make check` builds. A plain build
# only shows them: a newer compiler must not stop anybody's installation.
WERROR ?=
SECONDS ?= 60
# Compiling tests is half of the work, and they run but once: -O1 is what gcc
# needs to see what is used before it is set.
TEST_OPT ?= $(if $(filter -O2,$(CFLAGS)),-O1)

prefix := /usr
bindir := $(prefix)/bin
sbindir := $(prefix)/sbin
libdir := $(prefix)/lib
libexecdir := $(prefix)/libexec/reeve
includedir := $(prefix)/include
pkgconfigdir := $(libdir)/pkgconfig
sysconfdir := /etc
mandir := $(prefix)/share/man
docdir := $(prefix)/share/doc/reeve
unitdir := $(prefix)/lib/systemd/system
completiondir := $(prefix)/share/bash-completion/completions

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wold-style-definition -Wpointer-arith -Wcast-qual -Wwrite-strings \
	-Wundef -Wvla -Wformat=2 -Wimplicit-fallthrough -Wnull-dereference \
	-Woverride-init -Wframe-larger-than=16384
HARDEN := -fstack-clash-protection -fstack-protector-strong -fPIE \
	-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 \
	$(if $(filter x86_64,$(shell uname -m)),-fcf-protection)
CFLAGS ?= -O2 -g
LIBS_SYSTEMD := -lsystemd
LIBS_INIH := -linih
LIBS_CHECK = $(shell pkg-config --libs check)
# What a Manager needs, and reeved and reeve do not.
LIBS_MANAGER := -lcbor -lsodium
ALL_CFLAGS = -std=gnu17 -D_GNU_SOURCE -DREEVE_VERSION=\"$(VERSION)\" -I. \
	-Iworkers/include $(WARN) $(WERROR) $(HARDEN) $(CPPFLAGS) $(CFLAGS) \
	$(SAN)
SONAME := libreeve.so.0
SHARED_LDFLAGS = -shared -pthread -Wl,-soname,$(SONAME) \
	-Wl,--version-script,workers/libreeve.map -Wl,-z,relro,-z,now \
	$(if $(SAN),,-Wl,-z,defs) $(LDFLAGS) $(SAN)
OBJCOPY ?= objcopy
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now $(LDFLAGS) $(SAN) $(FUZZER)

# What is done, in short; `make V=1` shows the commands.
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $@)

# As many jobs as processors, unless the user says otherwise.
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc)
endif

# --- sources and what becomes of them ---------------------------------------

obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
LIB_SRC := $(wildcard workers/process/*.c workers/pool/*.c workers/shared/*.c workers/manager/*.c workers/base/pure/*.c workers/base/sys/*.c)
LIB_HEADERS := $(wildcard workers/include/reeve/*.h)
MANAGER_SRC := $(wildcard workers/manager/server/*.c)
EXAMPLE_SRC := $(wildcard workers/examples/*.c)
# Programs that the library executes.
HELPER_SRC := $(wildcard workers/programs/*.c)
HELPERS := $(patsubst workers/programs/%.c,$(BUILD)/%,$(HELPER_SRC))
# The examples that draw, and nothing else here, need cairo.
CAIRO_SRC := $(wildcard workers/examples/pictures*.c)
ifeq ($(shell pkg-config --exists cairo && echo yes),)
EXAMPLES_LEFT_OUT := $(CAIRO_SRC)
endif
CONF_SRC := $(wildcard conf/*.c)
CORE_SRC := $(wildcard supervisor/core/*.c)
DAEMON_SRC := $(wildcard supervisor/daemon/*.c)
CLI_SRC := $(wildcard supervisor/cli/*.c)
MAN_SRC := $(wildcard packaging/man/*.c)
SRC := $(LIB_SRC) $(HELPER_SRC) $(MANAGER_SRC) $(filter-out $(EXAMPLES_LEFT_OUT),$(EXAMPLE_SRC)) $(CONF_SRC) $(CORE_SRC) $(DAEMON_SRC) $(CLI_SRC) $(MAN_SRC)
TEST_SRC := $(wildcard tests/*/*.c tests/*/programs/*.c)

program = $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/$(1)))
UNIT := $(call program,unit/test_*.c)
# What the tests of handlers load.
HANDLERS := $(patsubst tests/handlers/%.c,$(BUILD)/tests/handlers/%.so,$(wildcard tests/handlers/*.c))
INTEGRATION := $(call program,integration/test_*.c)
REPLAY := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/replay/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
PROGRAMS := $(patsubst tests/integration/programs/%.c,$(BUILD)/tests/programs/%,$(wildcard tests/integration/programs/*.c))
SUBREAP := $(BUILD)/tests/subreap

LAYERS := $(BUILD)/libcore.a $(BUILD)/libconf.a $(BUILD)/libworkers.a
TEST_LAYERS := $(BUILD)/libtest.a $(BUILD)/libmanager.a $(BUILD)/libdaemon.a $(BUILD)/libcli.a $(LAYERS)
LINK = $(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) \
	-Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LIBS)

all: $(BUILD)/reeved $(BUILD)/reeve $(BUILD)/reeve-manager lib ## build reeved, reeve, reeve-manager and libreeve (the default)

# Everything is compiled anew when the compiler or its flags change. Not so for
# -Werror: instead, what was compiled with warnings is never up to date.
FLAGS = $(CC) $(filter-out -Werror,$(ALL_CFLAGS)) $(TEST_OPT)
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo $(FLAGS) | cmp -s - $@ || echo $(FLAGS) >$@

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(ALL_CFLAGS) $(OPT) $(PIC) $(PLACES) -MMD -MP -c -o $@ $< 2>$@.said || \
		{ cat $@.said >&2; exit 1; }
	@[ ! -s $@.said ] || { cat $@.said >&2; touch -d @0 $@; }
$(BUILD)/obj/tests/%.o: OPT = $(TEST_OPT)

# Where libreeve finds its programs when the environment does not say.
$(BUILD)/obj/workers/base/sys/program.o: PLACES = -DREEVE_LIBEXECDIR=\"$(libexecdir)\"
$(BUILD)/obj/workers/base/sys/program.o: $(BUILD)/libexecdir
$(BUILD)/libexecdir: FORCE
	@mkdir -p $(@D)
	@echo $(libexecdir) | cmp -s - $@ || echo $(libexecdir) >$@

# What goes into libreeve.so; all but the marked functions is hidden there.
$(BUILD)/obj/workers/%.o: PIC = -fPIC -fvisibility=hidden
$(BUILD)/libworkers.a: $(call obj,$(LIB_SRC))
$(BUILD)/libconf.a: $(call obj,$(CONF_SRC))
$(BUILD)/libcore.a: $(call obj,$(CORE_SRC))
# The programs without their main, so that unit tests can link their parts.
$(BUILD)/libdaemon.a: $(call obj,$(filter-out supervisor/daemon/main.c,$(DAEMON_SRC)))
$(BUILD)/libmanager.a: $(call obj,$(filter-out workers/manager/server/main.c,$(MANAGER_SRC)))
$(BUILD)/libcli.a: $(call obj,$(filter-out supervisor/cli/main.c,$(CLI_SRC)))
$(BUILD)/libtest.a: $(call obj,$(filter-out tests/lib/subreap.c,$(wildcard tests/lib/*.c)))
$(BUILD)/%.a:
	@mkdir -p $(@D)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $^

# libreeve as others get it. The archive holds one object, linked from all, in
# which what is hidden has become local: a program may have a buf_puts() of its
# own. Our programs and tests link libworkers.a, where all names are to be seen.
lib: $(BUILD)/libreeve.so $(BUILD)/libreeve.a $(BUILD)/libreeve.pc $(HELPERS)
# The whole library, and exported: what they load shall use it.
$(HELPERS): $(BUILD)/%: $(BUILD)/obj/workers/programs/%.o $(BUILD)/libworkers.a
	$(call say,LINK)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -rdynamic -o $@ $(filter %.o,$^) \
		-Wl,--whole-archive $(BUILD)/libworkers.a -Wl,--no-whole-archive \
		$(LIBS_MANAGER)
$(BUILD)/libreeve.so.$(VERSION): $(call obj,$(LIB_SRC)) workers/libreeve.map
	$(call say,LINK)
	$(Q)$(CC) $(ALL_CFLAGS) $(PIC) $(SHARED_LDFLAGS) -o $@ $(filter %.o,$^) $(LIBS_MANAGER)
$(BUILD)/libreeve.so: $(BUILD)/libreeve.so.$(VERSION)
	$(Q)ln -sf $(<F) $(BUILD)/$(SONAME)
	$(Q)ln -sf $(SONAME) $@
$(BUILD)/reeve.o: $(call obj,$(LIB_SRC))
	$(call say,LINK)
	$(Q)$(LD) -r -o $@ $^
	$(Q)$(OBJCOPY) --localize-hidden $@
$(BUILD)/libreeve.a: $(BUILD)/reeve.o
$(BUILD)/libreeve.pc: packaging/pkgconfig/libreeve.pc.in $(BUILD)/flags Makefile
	$(Q)sed -e 's,@prefix@,$(prefix),' -e 's,@version@,$(VERSION),' \
		-e 's,@libdir@,$(libdir:$(prefix)/%=$${prefix}/%),' \
		-e 's,@includedir@,$(includedir:$(prefix)/%=$${prefix}/%),' $< >$@

$(BUILD)/reeved $(BUILD)/reeve: LIBS = $(LIBS_SYSTEMD) $(LIBS_INIH)
$(BUILD)/reeved: $(BUILD)/obj/supervisor/daemon/main.o $(BUILD)/libdaemon.a $(LAYERS)
	$(call say,LINK)
	$(Q)$(LINK)
$(BUILD)/reeve: $(BUILD)/obj/supervisor/cli/main.o $(BUILD)/libcli.a $(LAYERS)
	$(call say,LINK)
	$(Q)$(LINK)

$(BUILD)/reeve-manager: LIBS = $(LIBS_MANAGER)
$(BUILD)/reeve-manager: $(BUILD)/obj/workers/manager/server/main.o $(BUILD)/libmanager.a $(BUILD)/libworkers.a
	$(call say,LINK)
	$(Q)$(LINK)

# A test links the archives of every layer; only what it uses is pulled in.
$(BUILD)/tests/%: LIBS = $(LIBS_SYSTEMD) $(LIBS_INIH) $(LIBS_MANAGER) $(LIBS_CHECK)
$(BUILD)/tests/%: $(BUILD)/obj/tests/%.o $(TEST_LAYERS)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(LINK)
# They run it.
$(addprefix $(BUILD)/tests/unit/test_manager_,keeper alone): $(BUILD)/reeve-manager
# It makes allocations fail.
$(BUILD)/tests/unit/test_manager_store_memory: ALL_LDFLAGS += -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
$(SUBREAP): $(BUILD)/obj/tests/lib/subreap.o
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(LINK)
# Programs that the tests supervise: small, and quick to start.
$(BUILD)/tests/programs/%: LIBS =
$(BUILD)/tests/programs/%: ALL_LDFLAGS = $(if $(SAN),$(SAN),-static)
$(BUILD)/tests/programs/%: $(BUILD)/obj/tests/integration/programs/%.o $(BUILD)/libworkers.a
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(LINK)
$(addprefix $(BUILD)/tests/unit/test_manager_,client client_deaths deaths syscalls): | $(BUILD)/reeve-manager
$(BUILD)/tests/unit/test_pool_handlers: | $(HANDLERS) $(BUILD)/reeve-worker
$(BUILD)/tests/handlers/%.so: tests/handlers/%.c $(LIB_HEADERS) $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(filter-out -fPIE,$(ALL_CFLAGS)) -fPIC -shared $(LDFLAGS) $(SAN) -o $@ $<
# A fuzz target by itself is a libFuzzer program; with replay.c, which has
# a main, it runs its corpus once.
$(BUILD)/tests/fuzz/%: FUZZER = -fsanitize=fuzzer
$(BUILD)/tests/replay/%: $(BUILD)/obj/tests/fuzz/%.o $(BUILD)/obj/tests/fuzz/replay.o $(TEST_LAYERS)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(LINK)

# They take the system's place.
$(BUILD)/tests/%/fuzz_worker: ALL_LDFLAGS += -Wl,--wrap=_exit,--wrap=poll,--wrap=syscall,--wrap=write,--wrap=sched_yield \
	-Wl,--wrap=pthread_sigmask,--wrap=sigtimedwait,--wrap=clock_monotonic_usec,--wrap=calloc,--wrap=realloc,--wrap=free
$(BUILD)/tests/%/fuzz_keeper: ALL_LDFLAGS += -Wl,--wrap=_exit,--wrap=fork,--wrap=lifeline_begin,--wrap=kill,--wrap=tgkill,--wrap=syscall \
	-Wl,--wrap=epoll_pwait2,--wrap=madvise,--wrap=pread,--wrap=clock_monotonic_usec,--wrap=procstat_read,--wrap=tree_kill \
	-Wl,--wrap=postmortem_describe,--wrap=keeper_setup,--wrap=oom_open

# --- tests ------------------------------------------------------------------

RUN = SUBREAP=$(SUBREAP) tests/run $(if $(TOTALS),-o $(TOTALS))
SUBMAKE = +@$(MAKE) --no-print-directory
# The first variant is what a plain build makes too; the others have their own
# build directories.
OTHERS := clang asan
# -w: what sanitizers insert makes compilers warn; the first two look for that.
VARIANT_clang := CC=clang TEST_OPT="-O0 -U_FORTIFY_SOURCE -Wno-frame-larger-than"
VARIANT_asan := CC=gcc CFLAGS="-O1 -g -fno-omit-frame-pointer" HARDEN=-fPIE \
	SAN="-fsanitize=address,undefined -fno-sanitize-recover=all -w"
VARIANT_tsan := CC=clang CFLAGS="-O1 -g -fno-omit-frame-pointer" HARDEN=-fPIE \
	SAN="-fsanitize=thread -w"
VARIANT_fuzz := CC=clang CFLAGS="-O1 -g -fno-omit-frame-pointer" HARDEN=-fPIE \
	SAN="-fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all -w"
in_variants = $(1) $(foreach v,$(OTHERS),$(patsubst $(BUILD)/%,$(BUILD)/$(v)/%,$(1)))

CHECK_STEPS := lint models unit-all integration integration-asan fuzz-replay system

# These fail at a warning.
lint unit-all integration integration-asan fuzz-replay system: WERROR = -Werror

check: deps-check ## lint, then all tests, under gcc, clang and sanitizers
	+@mkdir -p $(BUILD); : >$(BUILD)/totals; failed=; \
	for step in $(CHECK_STEPS); do \
		echo "--- $$step"; \
		$(MAKE) --no-print-directory $$step TOTALS=$(BUILD)/totals || failed="$$failed $$step"; \
		grep -q " $$step$$" $(BUILD)/totals || echo 1 0 1 0 $$step >>$(BUILD)/totals; \
	done; \
	[ -z "$$failed" ] || echo "failed:$$failed"; \
	tests/run -s $(BUILD)/totals && [ -z "$$failed" ]

# Most of what a test does is to wait for processes: two for each processor.
CROWDED := -j $(shell echo $$((2 * $$(nproc))))

unit: unit-build $(SUBREAP) ## unit tests, with CC and SAN as given
	@$(RUN) $(CROWDED) -n $@ $(UNIT)

unit-build: $(UNIT)

unit-all: variant $(addprefix variant-,$(OTHERS)) $(SUBREAP) ## unit tests of gcc, clang and ASan/UBSan builds
	@$(RUN) $(CROWDED) -n $@ $(call in_variants,$(UNIT))

# Each variant: the programs, unit tests and replayers.
variant-%:
	$(SUBMAKE) BUILD=$(BUILD)/$* WERROR=-Werror $(VARIANT_$*) variant
variant: all examples $(UNIT) $(REPLAY)

# $(1): the build directory of the programs under test
test_env = REEVED=$(abspath $(1)/reeved) REEVE=$(abspath $(1)/reeve) \
	REEVE_LIBEXECDIR=$(abspath $(1)) \
	REEVE_PROGRAMS=$(abspath $(BUILD)/tests/programs)

integration: all $(INTEGRATION) $(PROGRAMS) $(SUBREAP) ## real processes, nginx, redis
	@$(call test_env,$(BUILD)) $(RUN) $(CROWDED) -n $@ -t 300 $(INTEGRATION)

integration-asan: variant-asan $(INTEGRATION) $(PROGRAMS) $(SUBREAP) ## the same with programs under ASan and UBSan
	@$(call test_env,$(BUILD)/asan) REEVE_SANITIZED=1 $(RUN) $(CROWDED) -n $@ -t 300 \
		$(INTEGRATION)

fuzz-replay: variant $(addprefix variant-,$(OTHERS)) $(SUBREAP) ## run every fuzz target over its corpus, once
	@$(RUN) -n $@ $(foreach t,$(call in_variants,$(REPLAY)),\
		"$(t) tests/fuzz/corpus/$(patsubst fuzz_%,%,$(notdir $(t)))")

system: all examples man $(SUBREAP) ## install, build against it, the examples; a real systemd (root only)
	@$(call test_env,$(BUILD)) $(RUN) -n $@ -j 1 -t 300 $(wildcard tests/system/test-*)

# One process for each, as they are searched one after the other.
MODELS := $(filter-out %/kernel.pml,$(wildcard tests/models/*.pml))
models: $(SUBREAP) ## search all states of the protocols in shared memory (spin)
	@$(RUN) -n $@ -t 600 $(foreach m,$(MODELS),"tests/models/check $(m)")

# Those of libreeve's parts. tests/unit/not-under-tsan has lines "PROGRAM - REASON" and
# "PROGRAM TEST REASON" of what is left out.
PART_TESTS := $(filter test_manager_% test_pool_% test_process_% test_queue_% test_spawn_% test_sync_% \
	$(patsubst %,test_%,$(basename $(notdir $(LIB_SRC) \
	$(wildcard workers/*/*.h workers/base/*/*.h)))),$(notdir $(UNIT)))
TSAN_TESTS = $(filter-out $(shell sed -n 's/^\(test_[a-z_]*\) - .*/\1/p' \
	tests/unit/not-under-tsan),$(PART_TESTS))
VALGRIND_TESTS = $(shell grep '^test_' tests/unit/under-valgrind)
VALGRIND := valgrind --quiet --error-exitcode=9 --leak-check=full --fair-sched=yes
tsan-build: $(BUILD)/reeve-manager $(BUILD)/reeve-worker $(addprefix $(BUILD)/tests/unit/,$(TSAN_TESTS))

tsan: $(SUBREAP) ## unit tests of libreeve's parts under ThreadSanitizer
	$(SUBMAKE) BUILD=$(BUILD)/tsan $(VARIANT_tsan) tsan-build
	@TSAN_OPTIONS="die_after_fork=0 $$TSAN_OPTIONS" CK_TIMEOUT_MULTIPLIER=20 \
		$(RUN) -n $@ -t 600 $(foreach t,$(TSAN_TESTS),"$(BUILD)/tsan/tests/unit/$(t)$(shell \
		sed -n 's/^$(t) \(test_[a-z_0-9]*\) .*/ -\1/p' tests/unit/not-under-tsan)")

valgrind: deps-valgrind $(addprefix $(BUILD)/tests/unit/,$(VALGRIND_TESTS)) $(SUBREAP) ## those of tests/unit/under-valgrind there
	@CK_TIMEOUT_MULTIPLIER=60 $(RUN) -n $@ -t 1200 \
		$(foreach t,$(VALGRIND_TESTS),"$(VALGRIND) $(BUILD)/tests/unit/$(t)")

fuzz: ## libFuzzer on every target for SECONDS=60 each
	$(SUBMAKE) BUILD=$(BUILD)/fuzz $(VARIANT_fuzz) fuzz-run
fuzz-run: $(FUZZ)
	@for t in $(FUZZ); do \
		seeds=tests/fuzz/corpus/$${t##*/fuzz_}; \
		found=$(BUILD)/corpus/$${t##*/fuzz_}; mkdir -p $$found; \
		echo "$${t##*/}: $(SECONDS) s"; \
		$$t -max_total_time=$(SECONDS) -timeout=10 -rss_limit_mb=2048 \
			-print_final_stats=1 -verbosity=0 -artifact_prefix=$$found. \
			$$found $$seeds || exit 1; \
	done

# Each random life has a seed of its own, so one run of many does; 400 of
# them take some hundredths of a second.
SIMULATOR := $(BUILD)/tests/unit/test_pool_sim
# Tests of libreeve that do much more when REEVE_SOAK is set.
DEATHS := $(addprefix $(BUILD)/tests/unit/test_,pool_deaths pool_resize pool_retry pool_priority pool_syscalls pool_soft pool_soft_race pool_keeper_leave \
	queue_deaths queue_join queue_repair sync_lock sync_semaphore sync_condition \
	sync_event sync_barrier array pipe bell latch repair \
	manager_deaths manager_client_deaths manager_syscalls manager_greed manager_latency manager_snapshot manager_keeper)
WALK := $(BUILD)/tests/unit/test_lifecycle_walk
soak: TOTALS = $(BUILD)/soak.totals
soak: all $(INTEGRATION) $(WALK) $(SIMULATOR) $(DEATHS) $(PROGRAMS) $(SUBREAP) ## integration tests again and again for SECONDS=60, many random lives, a million schedules
	@: >$(TOTALS); failed=; \
	REEVE_SOAK=$(SECONDS) CK_TIMEOUT_MULTIPLIER=1000 $(RUN) -n walk \
		-t 20000 $(WALK) || failed=1; \
	REEVE_SOAK=1 CK_TIMEOUT_MULTIPLIER=1000 $(RUN) -n schedules \
		-t 20000 $(SIMULATOR) || failed=1; \
	REEVE_SOAK=1 CK_TIMEOUT_MULTIPLIER=1000 $(RUN) -n deaths \
		-t 20000 $(DEATHS) || failed=1; \
	REEVE_SOAK=1 $(RUN) -n models -t 20000 \
		$(foreach m,$(MODELS),"tests/models/check $(m)") || failed=1; \
	$(call test_env,$(BUILD)) $(RUN) -n $@ -t 300 -l $(SECONDS) \
		$(INTEGRATION) || failed=1; \
	tests/run -s $(TOTALS) && [ -z "$$failed" ]

bench: deps-bench ## speed and memory beside the peers, in one run
	$(SUBMAKE) all programs
	@$(call test_env,$(BUILD)) tests/bench/bench

demo: deps-demo ## see a fleet and a pool fail, recover and stop
	$(SUBMAKE) all programs examples
	@$(call test_env,$(BUILD)) tests/demo/demo

programs: $(PROGRAMS)

# As a user's program: the public headers and the built library, nothing else.
example = $(patsubst workers/examples/%.c,$(BUILD)/examples/%,$(1))
EXAMPLE_CFLAGS = -std=gnu17 $(WARN) $(WERROR) $(CFLAGS) -Iworkers/include $(SAN)
examples: $(call example,$(filter-out $(EXAMPLES_LEFT_OUT),$(EXAMPLE_SRC))) ## the programs of workers/examples
	$(if $(EXAMPLES_LEFT_OUT),@echo "without cairo (libcairo2-dev): no $(EXAMPLES_LEFT_OUT)")
$(call example,$(CAIRO_SRC)): workers/examples/random_walk.h
$(call example,$(CAIRO_SRC)): EXAMPLE_LIBS = $(shell pkg-config --libs cairo) -lm
$(call example,$(CAIRO_SRC)): PACKAGE_CFLAGS = $(shell pkg-config --cflags cairo)
$(CAIRO_SRC:%.c=$(BUILD)/tidy/%.ok): PACKAGE_CFLAGS = $(shell pkg-config --cflags cairo)
$(BUILD)/examples/%: workers/examples/%.c $(LIB_HEADERS) $(BUILD)/libreeve.so
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(EXAMPLE_CFLAGS) $(PACKAGE_CFLAGS) -o $@ $< -L$(BUILD) -Wl,-rpath,'$$ORIGIN/..' \
		-lreeve $(EXAMPLE_LIBS)

# Installs what is missing as root; says what is missing to anybody else.
deps-%:
	@packaging/deps $*

# --- lint -------------------------------------------------------------------

TIDY := $(patsubst %.c,$(BUILD)/tidy/%.ok,$(SRC) $(TEST_SRC))

lint: variant variant-clang tidy lib man $(SUBREAP) ## what the tools hold: warnings, style, layers, sizes
	@BUILD=$(BUILD) $(RUN) -n $@ $(wildcard tests/lint/*)

format: ## lay out all C as .clang-format says
	clang-format -i $(SRC) $(EXAMPLES_LEFT_OUT) $(TEST_SRC) $(wildcard */*.h */*/*.h */*/*/*.h)

# Again only when a source, one of its headers or the settings changed. How far
# the analyzer follows each function: its own limit (225000) costs seven times as
# much as 30000, which costs twice as much as this; they are for once in a while:
# make tidy TIDY_NODES=225000.
TIDY_NODES ?= 10000
tidy: $(TIDY)
$(BUILD)/tidy/%.ok: %.c .clang-tidy tests/.clang-tidy
	@mkdir -p $(@D)
	$(call say,TIDY)
	$(Q)clang-tidy --quiet $(patsubst %,-extra-arg=-Xclang -extra-arg=%,\
		-analyzer-config max-nodes=$(TIDY_NODES)) $< -- $(ALL_CFLAGS) $(PACKAGE_CFLAGS) \
		-O0 -U_FORTIFY_SOURCE 2>/dev/null
	@$(CC) $(ALL_CFLAGS) $(PACKAGE_CFLAGS) -MM -MP -MT $@ $< >$(@:.ok=.d)
	@touch $@

compile_commands.json: FORCE ## for clangd and other tools
	@command=$$(echo '$(CC) $(ALL_CFLAGS)' | sed 's/[\\"]/\\&/g'); \
	for f in $(SRC) $(TEST_SRC); do \
		printf '{"directory":"%s","file":"%s","command":"%s -c %s"},\n' \
			'$(CURDIR)' $$f "$$command" $$f; \
	done | sed '1s/^/[/; $$s/,$$/]/' >$@

# --- documents, installation ------------------------------------------------

# <reeve/process.h> is reeve_process(3), and <reeve/reeve.h> libreeve(3).
LIB_PAGES := $(sort libreeve $(patsubst workers/include/reeve/%.h,reeve_%,\
	$(filter-out %/reeve.h,$(LIB_HEADERS))))
LIB_MAN := $(patsubst %,$(BUILD)/man/%.3,$(LIB_PAGES))
GUIDE := $(BUILD)/man/reeve_multiprocessing.7
MAN := $(addprefix $(BUILD)/man/,reeved.8 reeve-manager.8 reeve.1 reeve.ini.5) $(LIB_MAN) $(GUIDE)
MAN_DATE := November 21, 2026
DOCS := $(wildcard README.md ARCHITECTURE.md NEWS.md SECURITY.md LICENSE) \
	packaging/systemd/hardened.conf

man: $(MAN) ## man pages, from the schema and the table of verbs

$(BUILD)/mkman: LIBS = $(LIBS_SYSTEMD) $(LIBS_INIH)
$(BUILD)/mkman: $(call obj,$(MAN_SRC)) $(LAYERS)
	$(call say,LINK)
	$(Q)$(LINK)
$(BUILD)/man/%: packaging/man/%.in $(BUILD)/mkman
	@mkdir -p $(@D)
	$(call say,MAN)
	$(Q)$(BUILD)/mkman $< >$@.new && mv $@.new $@

header_of = workers/include/reeve/$(patsubst reeve_%,%,$(patsubst lib%,%,$(1))).h
.SECONDEXPANSION:
$(LIB_MAN): $$(call header_of,$$(basename $$(@F))) packaging/man/headerman Makefile
	@mkdir -p $(@D)
	$(call say,MAN)
	$(Q)packaging/man/headerman -v page=$(basename $(@F)) -v date='$(MAN_DATE)' \
		-v others='$(LIB_PAGES)' $< >$@.new && mv $@.new $@

GUIDE_SRC := $(patsubst %,workers/examples/%.c,from_multiprocessing \
	from_multiprocessing_shared from_multiprocessing_pool)
$(GUIDE): $(GUIDE_SRC) packaging/man/guideman Makefile
	@mkdir -p $(@D)
	$(call say,MAN)
	$(Q)packaging/man/guideman -v page=$(basename $(@F)) -v date='$(MAN_DATE)' \
		$(GUIDE_SRC) >$@.new && mv $@.new $@

D = $(DESTDIR)
# Each function's page is that of its header.
link_functions = for h in $(filter-out %/reeve.h,$(LIB_HEADERS)); do \
	page=reeve_$$(basename $$h .h).3; \
	for f in $$(packaging/man/headerman -v list=1 $$h); do \
		ln -sf $$page $(D)$(mandir)/man3/$$f.3; done; done
install: all man ## DESTDIR= prefix=/usr sysconfdir=/etc ...; keeps an existing reeve.ini
	install -d $(D)$(bindir) $(D)$(sbindir) $(D)$(unitdir) $(D)$(docdir) \
		$(addprefix $(D)$(mandir)/man,1 3 5 7 8) \
		$(D)$(completiondir) $(D)$(sysconfdir)/reeve/conf.d \
		$(D)$(includedir)/reeve $(D)$(libdir) $(D)$(pkgconfigdir) \
		$(D)$(libexecdir)
	install -m 755 $(HELPERS) $(BUILD)/reeve-manager $(D)$(libexecdir)/
	ln -sf $(libexecdir)/reeve-manager $(D)$(bindir)/reeve-manager
	install -m 644 $(LIB_HEADERS) $(D)$(includedir)/reeve/
	install -m 755 $(BUILD)/libreeve.so.$(VERSION) $(D)$(libdir)/
	ln -sf libreeve.so.$(VERSION) $(D)$(libdir)/$(SONAME)
	ln -sf $(SONAME) $(D)$(libdir)/libreeve.so
	install -m 644 $(BUILD)/libreeve.a $(D)$(libdir)/
	install -m 644 $(BUILD)/libreeve.pc $(D)$(pkgconfigdir)/
	install -m 755 $(BUILD)/reeved $(D)$(sbindir)/reeved
	install -m 755 $(BUILD)/reeve $(D)$(bindir)/reeve
	install -m 644 $(BUILD)/man/reeve.1 $(D)$(mandir)/man1/
	install -m 644 $(LIB_MAN) $(D)$(mandir)/man3/
	@$(link_functions)
	install -m 644 $(BUILD)/man/reeve.ini.5 $(D)$(mandir)/man5/
	install -m 644 $(GUIDE) $(D)$(mandir)/man7/
	install -m 644 $(BUILD)/man/reeved.8 $(BUILD)/man/reeve-manager.8 \
		$(D)$(mandir)/man8/
	install -m 644 packaging/completions/reeve.bash $(D)$(completiondir)/reeve
	install -m 644 $(DOCS) $(D)$(docdir)/
	sed 's,/usr/sbin/,$(sbindir)/,; s,/usr/bin/,$(bindir)/,; s,/etc/,$(sysconfdir)/,' \
		packaging/systemd/reeved.service >$(D)$(unitdir)/reeved.service
	test -e $(D)$(sysconfdir)/reeve/reeve.ini || \
		install -m 644 conf/reeve.ini $(D)$(sysconfdir)/reeve/reeve.ini

uninstall: ## remove what install put there, but for the configuration
	rm -f $(D)$(sbindir)/reeved $(D)$(bindir)/reeve $(D)$(bindir)/reeve-manager \
		$(D)$(mandir)/man1/reeve.1 $(D)$(mandir)/man5/reeve.ini.5 \
		$(D)$(mandir)/man8/reeved.8 $(D)$(mandir)/man8/reeve-manager.8 \
		$(D)$(completiondir)/reeve \
		$(D)$(unitdir)/reeved.service
	rm -f $(D)$(libdir)/libreeve.so* $(D)$(libdir)/libreeve.a \
		$(D)$(pkgconfigdir)/libreeve.pc \
		$(D)$(mandir)/man3/libreeve.3 $(D)$(mandir)/man3/reeve_*.3 \
		$(D)$(mandir)/man7/reeve_multiprocessing.7
	rm -rf $(D)$(docdir) $(D)$(includedir)/reeve $(D)$(libexecdir)

dist: ## a source archive of the last commit
	@mkdir -p dist
	git archive --prefix=reeve-$(VERSION)/ -o dist/reeve-$(VERSION).tar.gz HEAD

clean: ## remove what was built
	rm -rf $(BUILD)

help: ## this list
	@sed -n 's/^\([a-z][a-z_.-]*\):.*## \(.*\)/\1|\2/p' Makefile | \
		while IFS='|' read -r t d; do printf '  %-22s %s\n' "$$t" "$$d"; done

FORCE:
.PHONY: all lib check unit unit-build unit-all variant integration \
	integration-asan fuzz-replay system models fuzz fuzz-run tsan tsan-build valgrind \
	soak bench demo \
	programs examples lint format tidy man install uninstall dist clean help FORCE
.SECONDARY:
.DELETE_ON_ERROR:
-include $(shell find $(BUILD)/obj $(BUILD)/tidy -name '*.d' 2>/dev/null)
