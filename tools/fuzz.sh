#!/bin/sh
# usage: tools/fuzz.sh BUILD SECONDS [TARGET...]   Runs libFuzzer on each target of tests/fuzz, one after the other. What it finds new
# goes to BUILD/corpus/TARGET, what crashes to BUILD/TARGET-crash-...; exit code 1 when anything crashed.
set -u
build=$1 seconds=$2
shift 2
[ $# -gt 0 ] || set -- $(ls tests/fuzz/fuzz_*.c | sed 's/.*fuzz_\(.*\)\.c/\1/')
failed=0
for target in "$@"; do
  mkdir -p "$build/corpus/$target"
  leaks=1
  [ "$target" = config ] && leaks=0  # its Lua state lives on: a search for leaks after every run would be all that it does
  echo "fuzz $target: $seconds s"
  if "$build/tests/fuzz/fuzz_$target" -max_total_time="$seconds" -max_len=65536 -len_control=10 -timeout=20 -rss_limit_mb=2560 -detect_leaks=$leaks -print_final_stats=1 \
    -artifact_prefix="$build/$target-" "$build/corpus/$target" "tests/fuzz/corpus/$target" >"$build/fuzz-$target.log" 2>&1; then
    grep -E 'stat::number_of_executed_units|DONE' "$build/fuzz-$target.log"
  else
    failed=1
    tail -40 "$build/fuzz-$target.log"
    echo "fuzz $target: FAILED; the log is $build/fuzz-$target.log"
  fi
done
exit $failed
