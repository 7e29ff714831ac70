#!/bin/sh
# usage: tools/test.sh BUILD TIER...   Runs these tiers with ctest; then what was skipped and why; ctest's summary line last.
set -u
build=$1
shift
tiers=$(echo "$@" | tr ' ' '|')
# Waiting threads sleep: on a machine that does other work too, spinning ones make a test many times slower.
OMP_WAIT_POLICY=passive
# Tests ask for more memory than there is, to see the error: the sanitizers are to refuse as malloc does. And they measure growth: of what was
# freed AddressSanitizer holds back 32 MB, not its 256.
ASAN_OPTIONS=${ASAN_OPTIONS:-allocator_may_return_null=1:quarantine_size_mb=32}
TSAN_OPTIONS=${TSAN_OPTIONS:-allocator_may_return_null=1}
export OMP_WAIT_POLICY ASAN_OPTIONS TSAN_OPTIONS
log=$build/Testing/Temporary/LastTest.log
ctest --test-dir "$build" --output-on-failure -L "^($tiers)\$" >"$build/test.out" 2>&1
code=$?
cat "$build/test.out"
echo
echo "tiers run: $*"
for tier in quick unit gpu full; do
  case " $* " in
    *" $tier "*) ;;
    *) echo "tier not run: $tier ($(ctest --test-dir "$build" -N -L "^$tier\$" | sed -n 's/^Total Tests: //p') tests)" ;;
  esac
done
awk '/^[0-9]+\/[0-9]+ Testing: / {name = $3} /SKIPPED: / {sub(/.*SKIPPED: /, ""); print "skipped: " name ": " $0}' "$log"
grep '% tests passed' "$build/test.out" || { echo "no test ran"; exit 1; }
exit $code
