#!/bin/sh
# Sees to the Debian or Ubuntu packages that the build needs: looks for the things themselves (programs, pkg-config modules,
# headers, libraries), installs what is missing with apt, or prints the command. Nothing else is ever downloaded.
set -eu

missing=
need() { missing="$missing $1"; }
program() { command -v "$1" >/dev/null 2>&1; }
header() {
  for folder in /usr/include /usr/local/include /usr/include/*-linux-gnu; do
    if [ -e "$folder/$1" ]; then return 0; fi
  done
  return 1
}
library() {
  for file in /usr/lib/*/"$1" /usr/lib/"$1" /usr/local/lib/"$1"; do
    if [ -e "$file" ]; then return 0; fi
  done
  return 1
}
module() { program pkg-config && pkg-config --exists "$1"; }

check() {
  missing=
  { program gcc && program g++ && header stdlib.h; } || need build-essential
  program cmake || need cmake
  program ninja || need ninja-build
  program pkg-config || need pkg-config
  module lua5.4 || need liblua5.4-dev
  header zlib.h || need zlib1g-dev
  module libutf8proc || need libutf8proc-dev
  module libedit || need libedit-dev
  module yajl || need libyajl-dev
  module sqlite3 || need libsqlite3-dev
  module libjpeg || need libjpeg-dev
  header curl/curl.h || need libcurl4-openssl-dev
  header stb/stb_image.h || need libstb-dev
  { header oneapi/dnnl/dnnl.h && library libdnnl.so; } || need libdnnl-dev
  library openblas-openmp/libopenblas.so.0 || need libopenblas0-openmp
}

check
if [ -n "$missing" ]; then
  command="apt-get install -y --no-install-recommends$missing"
  if ! program apt-get; then
    echo "setup: needed, and no apt-get here to install it (Debian's names):$missing" >&2
    exit 1
  elif [ "$(id -u)" = 0 ]; then
    sudo=
  elif program sudo && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
    sudo=sudo
  else
    echo "setup: packages are missing; as root, run:" >&2
    echo "  apt-get update && $command" >&2
    exit 1
  fi
  echo "setup: installing$missing"
  $sudo env DEBIAN_FRONTEND=noninteractive sh -c "apt-get update -q && $command" || true
  check
  if [ -n "$missing" ]; then
    echo "setup: still missing after apt:$missing" >&2
    echo "  to see why: apt-get update && apt-get install$missing" >&2
    exit 1
  fi
fi
program gnuplot || echo "setup: optional: gnuplot draws the plots of reports (apt-get install gnuplot-nox)" >&2
{ program mpirun && program mpicc; } || echo "setup: optional: MPI for one run on several processes (apt-get install libopenmpi-dev openmpi-bin, then configure anew)" >&2
module hdf5 || echo "setup: optional: libhdf5 reads MM-IMDb's multimodal_imdb.hdf5 (apt-get install libhdf5-dev, then configure anew)" >&2
