# What the program is made of, as CycloneDX 1.5 (https://cyclonedx.org/docs/1.5/json): vbl.cdx.json in the build tree, from what this configure
# run found. One row for each library that vbl or libvbl_cuda.so links to, has compiled in or opens, and each program that it runs; what those
# need in turn is the system's. tests/quick/test_sbom.lua holds the rows against the built files and the table in docs/security.md.
# Licences are SPDX expressions, read from /usr/share/doc/*/copyright; "see: ..." where there is none.
#   vbl_component(name version licence by how file purpose [OPTIONAL])
#     by: vbl, libvbl_cuda.so or libvbl_mpi.so      how: linked, opened, compiled in, run      file: what it is called there, up to ".so"
set(VBL_SBOM ${CMAKE_BINARY_DIR}/vbl.cdx.json)

function(vbl_component name version licence by how file purpose)
  set(scope required)
  if(ARGN STREQUAL "OPTIONAL")
    set(scope optional)
  endif()
  set(type library)
  if(how STREQUAL "run")
    set(type application)
  endif()
  set(licences "[{\"expression\": \"${licence}\"}]")
  if(licence MATCHES "^see: (.*)")
    set(licences "[{\"license\": {\"name\": \"${CMAKE_MATCH_1}\"}}]")
  endif()
  set(versioned "")
  if(version)
    set(versioned "\"version\": \"${version}\", ")
  endif()
  string(CONCAT row "    {\"type\": \"${type}\", \"bom-ref\": \"${name}\", \"name\": \"${name}\", ${versioned}\"scope\": \"${scope}\",\n"
                    "     \"description\": \"${purpose}\", \"licenses\": ${licences},\n"
                    "     \"properties\": [{\"name\": \"vbl:by\", \"value\": \"${by}\"}, {\"name\": \"vbl:how\", \"value\": \"${how}\"}, "
                    "{\"name\": \"vbl:file\", \"value\": \"${file}\"}]}")
  set_property(GLOBAL APPEND PROPERTY VBL_SBOM_ROWS "${row}")
  set_property(GLOBAL APPEND PROPERTY VBL_SBOM_REFS "\"${name}\"")
endfunction()

# The name that a library has where it is linked, without its version: libhdf5.so -> libhdf5_serial.
function(vbl_linked name version licence path purpose)
  file(REAL_PATH "${path}" real)
  string(REGEX REPLACE "^.*/(lib[^/]*)\\.so.*$" "\\1" file "${real}")
  vbl_component(${name} "${version}" ${licence} vbl linked ${file} ${purpose} ${ARGN})
endfunction()

# The value of `#define NAME value` in a header.
function(vbl_defined out header name)
  file(STRINGS "${header}" line REGEX "^#[ \t]*define[ \t]+${name}[ \t]" LIMIT_COUNT 1)
  string(REGEX REPLACE "^#[ \t]*define[ \t]+${name}[ \t]+\"?([^\" \t]*).*$" "\\1" value "${line}")
  set(${out} "${value}" PARENT_SCOPE)
endfunction()

function(vbl_three out header major minor patch)
  foreach(part major minor patch)
    vbl_defined(${part}_value "${header}" ${${part}})
  endforeach()
  set(${out} ${major_value}.${minor_value}.${patch_value} PARENT_SCOPE)
endfunction()

vbl_linked(Lua ${LUA_VERSION} MIT "${LUA_LINK_LIBRARIES}" "the language of scripts")
vbl_three(version ${DNNL_INCLUDE}/oneapi/dnnl/dnnl_version.h DNNL_VERSION_MAJOR DNNL_VERSION_MINOR DNNL_VERSION_PATCH)
vbl_linked(oneDNN ${version} "Apache-2.0 AND BSD-3-Clause" ${DNNL_LIBRARY} "matrix products on the CPU")
find_path(UTF8PROC_HEADER utf8proc.h HINTS ${UTF8PROC_INCLUDE_DIRS})  # Debian 12's utf8proc.pc tells an older version than the header
vbl_three(version ${UTF8PROC_HEADER}/utf8proc.h UTF8PROC_VERSION_MAJOR UTF8PROC_VERSION_MINOR UTF8PROC_VERSION_PATCH)
vbl_linked(utf8proc ${version} "MIT AND Unicode-DFS-2015" "${UTF8PROC_LINK_LIBRARIES}" "Unicode in the tokenizer")
vbl_linked(libedit ${EDIT_VERSION} BSD-3-Clause "${EDIT_LINK_LIBRARIES}" "line editing at the prompt")
vbl_linked(yajl ${YAJL_VERSION} ISC "${YAJL_LINK_LIBRARIES}" "JSON")
vbl_linked(SQLite ${SQLITE_VERSION} blessing "${SQLITE_LINK_LIBRARIES}" "the index over runs")
vbl_linked(zlib ${ZLIB_VERSION_STRING} Zlib "${ZLIB_LIBRARY_RELEASE}" "compression in .npz, PNG and gzip files")
if(JPEG_FOUND)
  vbl_linked(libjpeg-turbo ${JPEG_VERSION} "IJG AND BSD-3-Clause AND Zlib" "${JPEG_LINK_LIBRARIES}" "decodes JPEG (else stb_image does)" OPTIONAL)
endif()
if(HDF5_FOUND)
  list(GET HDF5_LINK_LIBRARIES 0 library)
  vbl_linked(HDF5 ${HDF5_VERSION} BSD-3-Clause ${library} "the images of MM-IMDb" OPTIONAL)
endif()
vbl_linked(libgomp ${CMAKE_C_COMPILER_VERSION} "GPL-3.0-or-later WITH GCC-exception-3.1" "${OpenMP_gomp_LIBRARY}" "OpenMP threads")
set(features_header /usr/include/features.h)
vbl_defined(major ${features_header} __GLIBC__)
vbl_defined(minor ${features_header} __GLIBC_MINOR__)
vbl_component("GNU C library" ${major}.${minor} LGPL-2.1-or-later vbl linked "libc libm ld-linux-x86-64" "the C library")

foreach(header stb_image stb_image_write)
  file(STRINGS ${STB_INCLUDE}/stb/${header}.h line LIMIT_COUNT 1)
  string(REGEX REPLACE "^.* - v([0-9.]+) - .*$" "\\1" version "${line}")
  vbl_component(${header} ${version} "MIT OR Unlicense" vbl "compiled in" ${header} "images")
endforeach()
if(OPENBLAS_OPENMP)
  file(REAL_PATH ${OPENBLAS_OPENMP} library)
  string(REGEX REPLACE "^.*r([0-9.]+)\\.so.*$" "\\1" version "${library}")
  vbl_component(OpenBLAS ${version} "BSD-3-Clause AND BSD-2-Clause" vbl opened libopenblas "LAPACK: decompositions in measures and probes")
endif()
if(CURL_INCLUDE)
  vbl_defined(version ${CURL_INCLUDE}/curl/curlver.h LIBCURL_VERSION)
  vbl_component(libcurl ${version} curl vbl opened libcurl "downloads" OPTIONAL)
endif()
vbl_component(gnuplot "" gnuplot vbl run gnuplot plots OPTIONAL)

if(MPI_C_FOUND)
  find_file(MPI_HEADER mpi.h HINTS ${MPI_C_INCLUDE_DIRS} NO_DEFAULT_PATH)
  file(STRINGS ${MPI_HEADER} line REGEX "^#define OMPI_MAJOR_VERSION")
  if(line)
    vbl_three(version ${MPI_HEADER} OMPI_MAJOR_VERSION OMPI_MINOR_VERSION OMPI_RELEASE_VERSION)
    vbl_component("Open MPI" ${version} BSD-3-Clause libvbl_mpi.so linked libmpi "one run on several processes" OPTIONAL)
  else()
    vbl_defined(version ${MPI_HEADER} MPICH_VERSION)
    vbl_component(MPICH "${version}" mpich2 libvbl_mpi.so linked libmpich "one run on several processes" OPTIONAL)
  endif()
endif()

if(VBL_CUDA)
  execute_process(COMMAND ${NVCC} --version OUTPUT_VARIABLE version)
  string(REGEX REPLACE "^.*release ([0-9.]+),.*$" "\\1" version "${version}")  # of the toolkit
  set(terms "see: NVIDIA CUDA Toolkit end user license agreement")
  vbl_component("CUDA runtime" ${version} ${terms} libvbl_cuda.so "compiled in" cudart "the GPU" OPTIONAL)
  vbl_component(cuBLASLt ${version} ${terms} libvbl_cuda.so linked libcublasLt "matrix products on the GPU" OPTIONAL)
  vbl_component(cuDNN "" "see: NVIDIA cuDNN software license agreement" libvbl_cuda.so opened libcudnn "attention in bf16 on the GPU" OPTIONAL)
  vbl_component(NCCL "" BSD-3-Clause libvbl_cuda.so opened libnccl "sums over several GPUs" OPTIONAL)
  vbl_component("GCC run-time libraries" ${CMAKE_CXX_COMPILER_VERSION} "GPL-3.0-or-later WITH GCC-exception-3.1" libvbl_cuda.so linked "libstdc++ libgcc_s" "C++" OPTIONAL)
endif()

get_property(rows GLOBAL PROPERTY VBL_SBOM_ROWS)
get_property(refs GLOBAL PROPERTY VBL_SBOM_REFS)
list(JOIN rows ",\n" rows)
list(JOIN refs ", " refs)
file(CONFIGURE OUTPUT ${VBL_SBOM} @ONLY CONTENT [[{
  "bomFormat": "CycloneDX",
  "specVersion": "1.5",
  "version": 1,
  "metadata": {"component": {"type": "application", "bom-ref": "vbl", "name": "vbl", "version": "@PROJECT_VERSION@"}},
  "components": [
@rows@
  ],
  "dependencies": [{"ref": "vbl", "dependsOn": [@refs@]}]
}
]])
