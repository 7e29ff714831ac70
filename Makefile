# Thin: CMake builds, ctest tests, tools/setup.sh sees to the packages.
#   make   make run   make test   make bench   make bench-gpu   make asan   make tsan   make fuzz   make lint   make clean
JOBS ?= $(shell nproc)
C_FILES = $(shell git ls-files "*.c" "*.h" "*.cc" "*.cu")

.PHONY: build setup run test bench bench-gpu asan tsan fuzz lint clean

build: setup
	@test -f build/CMakeCache.txt || cmake --preset release -G Ninja
	cmake --build build -j $(JOBS)

setup:
	@tools/setup.sh

run: build
	build/vbl experiments/pretrain_all.lua

test: build
	@tools/test.sh build quick unit

bench: build
	@if test -x tests/bench/run; then tests/bench/run; else echo "no benchmarks: tests/bench/run is missing"; fi

# On a machine with an NVIDIA GPU, nvcc and a python3 with PyTorch, transformers and timm; ARGS="--batches 48 --rounds 3", MEASURES="--rows 20000".
bench-gpu: setup
	@test -f build-cuda/CMakeCache.txt || cmake --preset cuda -G Ninja
	cmake --build build-cuda -j $(JOBS)
	python3 tests/bench/gpu.py $(ARGS)
	python3 tests/bench/gpu_measures.py $(MEASURES)
	build-cuda/vbl tests/bench/gpu_curves.lua $(CURVES)

asan: setup
	@test -f build-asan/CMakeCache.txt || cmake --preset asan -G Ninja
	cmake --build build-asan -j $(JOBS)
	@tools/test.sh build-asan quick unit

# One OpenMP thread, also where a test asks for more: libgomp is not built for ThreadSanitizer, which takes its barriers for
# races. Our own threads (data loading) are seen.
tsan: setup
	@test -f build-tsan/CMakeCache.txt || cmake --preset tsan -G Ninja
	cmake --build build-tsan -j $(JOBS)
	@OMP_NUM_THREADS=1 OMP_THREAD_LIMIT=1 tools/test.sh build-tsan quick unit

# Needs clang. FUZZ_SECONDS for each target; TARGETS="npy json" for some of them.
FUZZ_SECONDS ?= 600
fuzz:
	@test -f build-fuzz/CMakeCache.txt || cmake --preset fuzz -G Ninja
	cmake --build build-fuzz -j $(JOBS)
	@tools/fuzz.sh build-fuzz $(FUZZ_SECONDS) $(TARGETS)

lint: build
	@for tool in clang-format cppcheck clang-tidy; do command -v $$tool >/dev/null || \
	  { echo "make lint needs $$tool; as root: apt-get install clang-format clang-tidy cppcheck"; exit 1; }; done
	clang-format --dry-run -Werror $(C_FILES)
	cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --library=tools/cppcheck.cfg --suppressions-list=.cppcheck \
	  --error-exitcode=1 -j $(JOBS) -I . core kernels bindings
	@echo "clang-tidy -p build core/*/*.c"
	@printf '%s\n' $(filter-out $(if $(wildcard build/libvbl_mpi.so),,core/comm/mpi/%),$(filter core/%.c,$(C_FILES))) | xargs -P $(JOBS) -n 4 clang-tidy --quiet -p build 2>/dev/null

clean:
	rm -rf build build-asan build-tsan build-debug build-fuzz
