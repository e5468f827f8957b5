# Strata: every target a person types. `make help` lists them.
#
# Layout decides what is built; a new source file needs no line here:
#   common/*/*.c            -> build/libstrata.a; the client's part of it also -> build/libstrata.so (python/)
#   services/NAME/*.c       -> build/libsvc-NAME.a + build/bin/strata-NAME   (main.c)
#   apps/APP/PART/*.c       -> build/libapp-APP-PART.a + build/bin/APP-PART (main.c)
#   services/patch/encoder_NAME.cpp -> build/lib/strata/encoder-NAME.so: a plug-in (services/patch/encoder_kind.h), where its library is
#   tests/unit/test_*.c     -> build/tests/test_*   (linked with all of the above but main.c)
#   tests/fuzz/fuzz_*.c     -> build/fuzz/*         (feeds files to a parser; with FUZZ=1 it makes up inputs by libFuzzer)
# FLAGS: CC=clang, SAN=1 (AddressSanitizer + UndefinedBehaviorSanitizer), SAN=thread (ThreadSanitizer, clang), FUZZ=1 (libFuzzer
#        and the first two sanitizers, by clang), CRASH_POINTS=1 (common/core/crash_point.h), V=1 (show commands).

CC ?= gcc
SAN ?=
V ?=
Q := $(if $(V),,@)
FUZZ ?=
# LLVM's OpenMP tells ThreadSanitizer of its own synchronisation, gcc's does not.
ifneq ($(FUZZ)$(filter thread,$(SAN)),)
CC := clang
endif
CXX := $(if $(findstring clang,$(CC)),clang++,g++)
CRASH_POINTS ?=
BUILD := build$(if $(FUZZ),-fuzz,$(if $(filter thread,$(SAN)),-tsan,$(if $(SAN),-san)$(if $(findstring clang,$(CC)),-clang)))$(if $(CRASH_POINTS),-points)

PKGS := libczmq libzmq libprotobuf-c libuv hwloc jansson yaml-0.1 libzip zlib
CPPFLAGS += -D_GNU_SOURCE -Icommon/include -Icommon -I$(BUILD) -I$(BUILD)/deps/include
CFLAGS ?= -O2 -g
CFLAGS += -std=gnu11 -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
          -Wno-unused-parameter -fno-strict-aliasing -fopenmp
ifneq ($(CRASH_POINTS),)
CPPFLAGS += -DSTRATA_CRASH_POINTS
endif
ifeq ($(SAN),thread)
CFLAGS += -fsanitize=thread -fno-omit-frame-pointer
LDFLAGS += -fsanitize=thread
else ifneq ($(SAN),)
CFLAGS += -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined
LDFLAGS += -fsanitize=address,undefined
endif
ifneq ($(FUZZ),)
FUZZ_SAN := address,undefined,float-cast-overflow
CFLAGS += -fsanitize=fuzzer-no-link,$(FUZZ_SAN) -Wno-pass-failed -fno-omit-frame-pointer -fno-sanitize-recover=undefined,float-cast-overflow
LDFLAGS += -fsanitize=fuzzer,$(FUZZ_SAN)
endif
LDLIBS = $(shell pkg-config --libs $(PKGS)) -lrocksdb -lcyaml -lhiredis -lfftw3_omp -lfftw3 -lm -lpthread
CPPFLAGS += $(shell pkg-config --cflags $(PKGS) 2>/dev/null)

PROTOS := $(wildcard proto/*.proto)
PROTO_C := $(PROTOS:proto/%.proto=$(BUILD)/proto/%.pb-c.c)
COMMON_SRC := $(wildcard common/*/*.c)
COMMON_OBJ := $(COMMON_SRC:%.c=$(BUILD)/%.o) $(PROTO_C:.c=.o)
SERVICES := $(patsubst services/%/main.c,%,$(wildcard services/*/main.c))
APPS := $(patsubst apps/%/main.c,%,$(wildcard apps/*/*/main.c))
PART_SRC := $(filter-out %/main.c,$(wildcard services/*/*.c apps/*/*/*.c))
TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))
FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
SERVICE_BINS := $(patsubst %strata-cli,%strata,$(SERVICES:%=$(BUILD)/bin/strata-%))
APP_BINS := $(foreach a,$(APPS),$(BUILD)/bin/$(subst /,-,$(a)))
BINS := $(SERVICE_BINS) $(APP_BINS)
CRASH_LOAD := $(BUILD)/bin/crash-load
# Patch encoders that need a library of their own, loaded by name. ThreadSanitizer would not see into libtorch.
PLUGINS := $(if $(FUZZ)$(filter thread,$(SAN)),,$(if $(wildcard /usr/include/torch/script.h),$(BUILD)/lib/strata/encoder-network.so))
# The client library alone, for other languages: what include/strata.h and strata_npz.h name, and what that needs.
CLIENT_LIB := $(BUILD)/libstrata.so
CLIENT_SRC := common/store/stream.c $(filter-out common/store/% common/core/campaign% common/mesh/service.c common/mesh/request.c common/mesh/consume.c \
              common/mesh/replies.c common/mesh/stream_server.c,$(COMMON_SRC))
CLIENT_OBJ := $(CLIENT_SRC:%.c=$(BUILD)/pic/%.o) $(PROTOS:proto/%.proto=$(BUILD)/pic/proto/%.pb-c.o)

.PHONY: backlog bench benches-built help deps deps-tests needed all run test tests-built fuzzers-built unit fuzz-test mesh-test peers-test campaign-test crash-test crash fuzz \
        crash-points recovery tar-million tsan audit lint clean install
.DEFAULT_GOAL := help

help:
	@echo 'make run        install what is missing, build, run the quick campaign of apps/membrane (FRESH=1 starts over)'
	@echo 'make test       install what is missing, build, run every test (SAN=1: under sanitizers)'
	@echo 'make audit      recount the last campaign of make run from its stores'
	@echo 'make deps       install dependencies (deps-tests: those of tests and benches, too)        make all     build everything into $(BUILD)/bin'
	@echo 'make unit fuzz-test mesh-test peers-test campaign-test crash-test   one group of tests'
	@echo 'make crash      a campaign under FAULTS=1000 seeded faults (SEED=...): nothing lost, nothing twice'
	@echo 'make backlog    a million frames worked off by feedback: memory over time, rate, longest pause; FRAMES=n SUM=0'
	@echo 'make recovery   seconds until a killed service serves again, with 1,000,000 records in its store'
	@echo 'make tar-million   seconds and memory of an archive of 1,000,000 members'
	@echo 'make bench      streams, queues, requests beside Redis and NATS: medians of RUNS=5, ONLY=name,name'
	@echo 'make crash-points  a process dies exactly at each named place of the commit path, one by one: the same'
	@echo 'make tsan       the programs with threads under ThreadSanitizer'
	@echo 'make fuzz       made-up input for each parser, FUZZ_SECONDS=60 each; needs clang, libclang-rt-14-dev, libomp-dev'
	@echo 'make install PREFIX=/usr/local   make lint   make clean'

deps:
	$(Q)scripts/deps.sh
deps-tests:
	$(Q)scripts/deps.sh --tests

all: $(BINS) $(CRASH_LOAD) $(CLIENT_LIB) $(PLUGINS)

# Before anything is compiled: says what to do rather than let the first missing program fail.
needed:
	@command -v protoc-c >/dev/null && command -v pkg-config >/dev/null \
	    || { echo "something that Strata is built with is missing: 'make deps' installs it" >&2; exit 1; }

# All cores, unless -j was given. (With the second make all of this file is read after deps has installed pkg-config.)
PARALLEL = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))
run: deps
	$(Q)$(MAKE) --no-print-directory $(PARALLEL) all
	$(Q)scripts/run.sh $(if $(FRESH),--fresh)

audit: all
	$(Q)$(BUILD)/bin/strata audit

test: deps-tests
	$(Q)$(MAKE) --no-print-directory $(PARALLEL) all tests-built
	$(Q)SAN=$(SAN) scripts/test.sh $(BUILD)

unit mesh-test peers-test campaign-test crash-test bench-test: all tests-built
	$(Q)SAN=$(SAN) scripts/test.sh $(BUILD) $(@:-test=)

fuzz-test: $(FUZZERS)
	$(Q)SAN=$(SAN) scripts/test.sh $(BUILD) fuzz

# Finds new inputs; make test only feeds those that are kept in tests/fuzz.
fuzz:
	$(Q)scripts/fuzz.sh

# About 40 minutes for 1000 on two cores. `make test` runs the 60 of tests/crash/short.sh.
FAULTS ?= 1000
SEED ?=
crash: all
	$(Q)STRATA_BIN=$(BUILD)/bin /usr/bin/python3 tests/crash/killer.py --faults $(FAULTS) $(if $(SEED),--seed $(SEED))

# `make test` does the same with 20,000.
recovery: all $(BUILD)/tests/test_recovery
	$(Q)STRATA_RECOVERY_RECORDS=1000000 $(BUILD)/tests/test_recovery

# A million frames handed in while feedback is down: memory over time, rate, longest pause. SUM=0: each frame a record of its own (5 GB
# of disk). The bench `reports` has a short one, in `make test`.
FRAMES ?= 1000000
SUM ?= 256
backlog: all benches-built
	$(Q)/usr/bin/python3 tests/bench/backlog.py --build $(BUILD) --frames $(FRAMES) --sum $(SUM)

# Seconds and memory of an archive of a million members. `make test` does the same with 20,000.
tar-million: all
	$(Q)STRATA_BIN=$(abspath $(BUILD)/bin) MEMBERS=1000000 tests/peers/tar_of_many_members.sh

# About 14 minutes on two cores. `make test` runs the places of tests/crash/points.sh.
PLACES ?= *
crash-points:
	$(Q)$(MAKE) --no-print-directory $(PARALLEL) CRASH_POINTS=1 all
	$(Q)STRATA_BIN=build-points/bin /usr/bin/python3 tests/crash/points.py --only '$(PLACES)' $(if $(SEED),--seed $(SEED))

# What has threads: OpenMP (patch, select, gridsim, the continuum), feedback's writer, the lease's renewal, libuv's workers,
# and what libzmq's and RocksDB's threads share with us. Needs clang and libomp-dev. Suppressions: tests/tsan.txt.
TSAN_TESTS ?= $(addprefix unit/test_,feedback_report patch_cut patch_encode gridsim macro_run farthest_point lease \
              stage_feedback mesh_peers security mesh select_core select_candidates select_restart) mesh/patch_replicas
tsan:
	$(Q)$(MAKE) --no-print-directory $(PARALLEL) SAN=thread all tests-built
	$(Q)SAN=thread scripts/test.sh build-tsan $(TSAN_TESTS)

tests-built: $(TESTS) $(PLUGINS)
fuzzers-built: $(FUZZERS)

$(BUILD)/proto/%.pb-c.c: proto/%.proto | needed
	@mkdir -p $(@D)
	$(if $(V),,@echo '  PROTO   $<')
	$(Q)protoc-c --proto_path=proto --c_out=$(BUILD)/proto $<

$(BUILD)/%.o: %.c | $(PROTO_C)
	@mkdir -p $(@D)
	$(if $(V),,@echo '  CC      $<')
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -I$(BUILD)/proto -I$(dir $<) -MMD -MP -c -o $@ $<

$(BUILD)/proto/%.o: $(BUILD)/proto/%.c
	$(if $(V),,@echo '  CC      $<')
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -w -I$(BUILD)/proto -MMD -MP -c -o $@ $<

$(BUILD)/libstrata.a: $(COMMON_OBJ)
	@rm -f $@; ar rcs $@ $^

$(BUILD)/pic/%.o: %.c | $(PROTO_C)
	@mkdir -p $(@D)
	$(if $(V),,@echo '  CC      $< (for libstrata.so)')
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -fPIC -ffunction-sections -I$(BUILD)/proto -I$(dir $<) -MMD -MP -c -o $@ $<

$(BUILD)/pic/proto/%.o: $(BUILD)/proto/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -w -fPIC -I$(BUILD)/proto -MMD -MP -c -o $@ $<

$(BUILD)/pic/libstrata.a: $(CLIENT_OBJ)
	@rm -f $@; ar rcs $@ $^

# Only what the named parts call; only their public names are seen. What nobody calls goes, and with it what that needs: the
# store (RocksDB) is not in it.
CLIENT_PARTS := $(patsubst %,$(BUILD)/pic/common/%.o,mesh/client mesh/client_objects mesh/client_records mesh/client_data data/npz)
$(CLIENT_LIB): $(CLIENT_PARTS) $(BUILD)/pic/libstrata.a common/include/libstrata.map
	$(if $(V),,@echo '  LINK    $@')
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -shared -Wl,--gc-sections -Wl,-soname,libstrata.so -Wl,--version-script,common/include/libstrata.map \
	    $(if $(SAN),,-Wl,-z,defs) -o $@ $(CLIENT_PARTS) $(BUILD)/pic/libstrata.a -Wl,--as-needed $(LDLIBS)

# A folder's sources without main.c: what its program and the unit tests link.
part-objs = $(patsubst %.c,$(BUILD)/%.o,$(filter $(1)/%,$(PART_SRC)))

# The one program that runs the cores of others.
services/emulate-parts := services/select services/schedule services/feedback
# Starts jobs as schedule's executor for one machine does: by the same code.
services/launch-parts := services/schedule

define program  # $(1) folder, $(2) binary
$(BUILD)/bin/$(2): $(BUILD)/$(1)/main.o $(foreach p,$(1) $($(1)-parts),$(call part-objs,$(p))) $(BUILD)/libstrata.a
	@mkdir -p $$(@D)
	$(if $(V),,@echo '  LINK    $$@')
	$(Q)$$(CC) $$(CFLAGS) $$(LDFLAGS) -o $$@ $$(filter %.o %.a,$$^) -Wl,--as-needed $$(LDLIBS)
endef
MUSL := $(if $(SAN)$(FUZZ),,$(shell command -v musl-gcc))
$(foreach s,$(filter-out $(if $(MUSL),shepherd),$(SERVICES)),$(eval $(call program,services/$(s),$(if $(filter cli,$(s)),strata,strata-$(s)))))
$(foreach a,$(APPS),$(eval $(call program,apps/$(a),$(subst /,-,$(a)))))

$(BUILD)/tests/%: $(BUILD)/tests/unit/%.o $(PART_SRC:%.c=$(BUILD)/%.o) $(BUILD)/libstrata.a
	@mkdir -p $(@D)
	$(if $(V),,@echo '  LINK    $@')
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) -lcmocka -Wl,--as-needed $(LDLIBS)

# Started for every job, and on every node: without libraries to find and bind it starts in two thirds of the time; on musl, which
# asks the processor nothing (each question of glibc's is a trap in a virtual machine) and is small, in a third. Its own few
# sources are compiled for that once more.
SHEPHERD_SRC := $(wildcard services/shepherd/*.c) $(addprefix common/core/,crash_point.c error.c log.c outcome.c procs.c)
ifneq ($(MUSL),)
$(BUILD)/musl/%.o: %.c | $(PROTO_C)
	@mkdir -p $(@D)
	$(if $(V),,@echo '  MUSL    $<')
	$(Q)$(MUSL) $(CPPFLAGS) -I$(BUILD)/proto -idirafter /usr/include -idirafter /usr/include/$(shell gcc -print-multiarch) -O2 -g -std=gnu11 -Wall -Wextra -MMD -MP -c -o $@ $<
$(BUILD)/bin/strata-shepherd: $(SHEPHERD_SRC:%.c=$(BUILD)/musl/%.o)
	@mkdir -p $(@D)
	$(if $(V),,@echo '  LINK    $@')
	$(Q)$(MUSL) -static -o $@ $(filter $(BUILD)/musl/%.o,$^)
else ifeq ($(SAN),)
$(BUILD)/bin/strata-shepherd: LDFLAGS += -static
$(BUILD)/bin/strata-shepherd: LDLIBS :=
endif

# Nothing of a sanitizer's is linked in: the program that loads it brings its own.
$(BUILD)/services/patch/%.o: services/patch/%.cpp
	@mkdir -p $(@D)
	$(if $(V),,@echo '  CXX     $<')
	$(Q)$(CXX) $(CPPFLAGS) -O2 -g1 -std=gnu++17 -Wall -Wextra -Wshadow -fPIC -fvisibility=hidden -fopenmp -MMD -MP -c -o $@ $<

$(BUILD)/lib/strata/encoder-network.so: $(BUILD)/services/patch/encoder_network.o
	@mkdir -p $(@D)
	$(if $(V),,@echo '  LINK    $@')
	$(Q)$(CXX) -shared -fopenmp -Wl,-z,defs -o $@ $< -ltorch -ltorch_cpu -lc10

# The parsers and cores of the parts: an archive, so that a fuzzer links only what it calls. The list is this file's.
$(BUILD)/libparts.a: $(patsubst %.c,$(BUILD)/%.o,$(filter apps/% services/patch/% services/select/% services/feedback/%,$(PART_SRC))) Makefile
	@rm -f $@; ar rcs $@ $(filter %.o,$^)

# Every kind of message body there is, for fuzz_wire.c.
$(BUILD)/fuzz_bodies.h: $(PROTO_C)
	$(Q)sed -n 's/^extern const ProtobufCMessageDescriptor \(.*\);/BODY (\1)/p' $(PROTO_C:.c=.h) > $@
$(BUILD)/tests/fuzz/fuzz_wire.o: $(BUILD)/fuzz_bodies.h

$(BUILD)/fuzz/%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/inputs.o $(if $(FUZZ),,$(BUILD)/tests/fuzz/standalone.o) $(BUILD)/libparts.a $(BUILD)/libstrata.a
	@mkdir -p $(@D)
	$(if $(V),,@echo '  LINK    $@')
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) -Wl,--as-needed $(LDLIBS)

# What the crash tests run as jobs: a program of the tests, not installed.
$(CRASH_LOAD): $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/crash/*.c)) $(BUILD)/libstrata.a
	@mkdir -p $(@D)
	$(if $(V),,@echo '  LINK    $@')
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) -Wl,--as-needed $(LDLIBS)

# The programs of tests/bench: bench_NAME.c each, and the peers' where their libraries are installed.
BENCH_COMMON := $(addprefix $(BUILD)/tests/bench/,bench.o bench_mesh.o bench_sink.o)
BENCHES := $(filter-out %/bench_mesh %/bench_sink,$(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(wildcard tests/bench/bench_*.c)))
BENCHES := $(filter-out $(if $(wildcard /usr/include/nats/nats.h),,%/bench_nats),$(BENCHES))
$(BUILD)/bench/%: $(BUILD)/tests/bench/%.o $(BENCH_COMMON) $(BUILD)/libstrata.a
	@mkdir -p $(@D)
	$(if $(V),,@echo '  LINK    $@')
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(if $(findstring bench_nats,$@),-lnats) -Wl,--as-needed $(LDLIBS)
$(BUILD)/bench/bench_select: $(filter-out %/main.o,$(patsubst %.c,$(BUILD)/%.o,$(wildcard services/select/*.c)))
$(BUILD)/bench/bench_schedule: $(filter-out %/main.o,$(patsubst %.c,$(BUILD)/%.o,$(wildcard services/schedule/*.c)))
benches-built: all $(BENCHES)

# Everything side by side; about 15 minutes on two idle cores. RUNS=5, ONLY=streams,queues ...
RUNS ?= 5
ONLY ?=
bench: deps-tests
	$(Q)$(MAKE) --no-print-directory $(PARALLEL) benches-built
	$(Q)/usr/bin/python3 tests/bench/run.py --build $(BUILD) --runs $(RUNS) $(if $(ONLY),--only $(ONLY))

lint:
	$(Q)scripts/lint.sh

PREFIX ?= /usr/local
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/share/strata/apps/membrane/createsim
	install -m 755 $(BINS) $(DESTDIR)$(PREFIX)/bin
	install -m 644 $(BUILD)/libstrata.a $(DESTDIR)$(PREFIX)/lib
	install -m 755 $(CLIENT_LIB) $(DESTDIR)$(PREFIX)/lib
	$(if $(PLUGINS),install -D -m 755 -t $(DESTDIR)$(PREFIX)/lib/strata $(PLUGINS))
	install -m 644 common/include/*.h $(DESTDIR)$(PREFIX)/include
	cp -r apps/membrane/createsim/forcefield $(DESTDIR)$(PREFIX)/share/strata/apps/membrane/createsim/
	cp -r apps/membrane/campaign.yaml apps/membrane/encoder $(DESTDIR)$(PREFIX)/share/strata/apps/membrane/

clean:
	rm -rf build build-*

.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
