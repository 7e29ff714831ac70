#!/bin/sh
# tools/portable.sh BUILD FILE.tar.xz: packs what `vbl test gpu` and `make bench-gpu` need into one file, for a machine with CUDA, cuDNN and a GPU
# and without this one's packages: a build folder's programs, the libraries they were linked with, the sources' tests and experiments. There:
#   tar xf FILE.tar.xz && cd vbl && . ./environment && vbl test gpu
# CUDA's own libraries are that machine's (of PyTorch's wheels, where python3 has them, else where the loader looks).
set -eu
test $# = 2 || { echo "usage: tools/portable.sh BUILD FILE.tar.xz" >&2; exit 2; }
cd "$(dirname "$0")/.."
build=$1
case $2 in /*) file=$2 ;; *) file=$OLDPWD/$2 ;; esac
test -x "$build/vbl" || { echo "portable: $build has no vbl: make, or cmake --build $build" >&2; exit 1; }
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
tree=$root/vbl
mkdir -p "$tree/build-cuda" "$tree/libraries"

git ls-files CMakeLists.txt Makefile experiments tests tools | tar -cf - -T - | tar -C "$tree" -xf -
(cd "$build" && find . -name CTestTestfile.cmake -o -name CMakeCache.txt | tar -cf - -T - | tar -C "$tree/build-cuda" -xf -)
for program in vbl libvbl_cuda.so libgpu_trace.so test_ops plugin; do
  if [ -e "$build/$program" ]; then cp -r "$build/$program" "$tree/build-cuda/"; fi
done
for program in "$build"/*_gpu; do if [ -e "$program" ]; then cp "$program" "$tree/build-cuda/"; fi; done
strip -g "$tree"/build-cuda/vbl "$tree"/build-cuda/*_gpu "$tree"/build-cuda/test_ops 2>/dev/null || true
# The folders that CTest's files and the cache name.
sed -i "s|$PWD/$build|@ROOT@/build-cuda|g; s|$PWD|@ROOT@|g" $(find "$tree/build-cuda" -name '*.cmake' -o -name CMakeCache.txt)

blas=$(sed -n 's|^OPENBLAS_OPENMP:FILEPATH=||p' "$build/CMakeCache.txt")
# The C library and GCC's run time are every machine's, CUDA's are that machine's.
for library in $(ldd "$tree"/build-cuda/vbl "$tree"/build-cuda/*_gpu "$tree"/build-cuda/test_ops ${blas:+"$blas"} | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u); do
  case $(basename "$library") in
    libc.so*|libm.so*|libdl.so*|librt.so*|libpthread.so*|libstdc++.so*|libgcc_s.so*|libcu*|libnv*|libvbl_cuda.so) ;;
    *) cp -L "$library" "$tree/libraries/" ;;
  esac
done
if [ -e "$blas" ]; then cp -L "$blas" "$tree/libraries/libopenblas.so.0"; fi

cat > "$tree/environment" <<'END'
# Sourced in this folder.
root=$PWD
grep -rl "@ROOT@" build-cuda --include=*.cmake --include=CMakeCache.txt | xargs -r sed -i "s|@ROOT@|$root|g"
wheels=$(python3 -c 'import glob, site; print(":".join(d for s in site.getsitepackages() for d in glob.glob(s + "/nvidia/*/lib")))' 2>/dev/null)
export LD_LIBRARY_PATH=$root/libraries:$root/build-cuda:${wheels:+$wheels:}${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}/usr/local/cuda/lib64:/usr/local/cuda/extras/CUPTI/lib64
export LUA_PATH="$root/tests/?.lua;;" VBL_CUDA_LIBRARY=$root/build-cuda/libvbl_cuda.so PATH=$root/build-cuda:$PATH
END
tar -C "$root" -cJf "$file" vbl
echo "portable: $(du -h "$file" | cut -f1) $file"
