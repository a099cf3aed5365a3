# SPDX-License-Identifier: Apache-2.0
# One target per tests/fuzz/fuzz_<module>[_<idea>].c, linked with that module and what it may include.
# Every build has replay_<name> and the test fuzz.<name>, which runs it over tests/fuzz/corpus/<name>; a
# build with SLUICE_FUZZ (preset "fuzz", clang) also has fuzz_<name> for libFuzzer:
#   build/fuzz/fuzz_http_head -dict=tests/fuzz/http.dict -max_len=2048 NEW_INPUTS tests/fuzz/corpus/http_head
# Debian's node-llhttp has the C source of llhttp; where it is installed, the HTTP targets compare with it.

set(fuzz_dir ${CMAKE_SOURCE_DIR}/tests/fuzz)
set(llhttp_dir /usr/share/llhttp)
set(llhttp_include /usr/share/include/llhttp)

if(EXISTS ${llhttp_dir}/llhttp.c AND EXISTS ${llhttp_include}/llhttp.h)
  # The source holds two parsers and defaults to the loose one.
  add_library(llhttp_oracle OBJECT EXCLUDE_FROM_ALL
    ${llhttp_dir}/api.c ${llhttp_dir}/http.c ${llhttp_dir}/llhttp.c)
  target_include_directories(llhttp_oracle SYSTEM PUBLIC ${llhttp_include})
  target_compile_definitions(llhttp_oracle PUBLIC LLHTTP_STRICT_MODE=1)
  target_compile_options(llhttp_oracle PRIVATE -w -O2)
  if(SLUICE_FUZZ) # so that inputs which only it tells apart are kept
    target_compile_options(llhttp_oracle PRIVATE -fsanitize=fuzzer-no-link)
  endif()
endif()

if(SLUICE_FUZZ)
  target_compile_options(sluice_flags INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(sluice_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

function(fuzz_program target module)
  add_executable(${target} ${ARGN})
  target_include_directories(${target} PRIVATE ${fuzz_dir})
  link_modules(${target} ${module})
  if(module STREQUAL "record") # reads its lines back with it
    target_link_libraries(${target} PRIVATE PkgConfig::jansson)
  endif()
  if(module STREQUAL "http")
    target_sources(${target} PRIVATE ${fuzz_dir}/heads.c ${fuzz_dir}/opinion.c)
    if(TARGET llhttp_oracle)
      target_link_libraries(${target} PRIVATE llhttp_oracle)
      target_compile_definitions(${target} PRIVATE FUZZ_HAS_LLHTTP)
    endif()
  endif()
endfunction()

file(GLOB fuzz_sources CONFIGURE_DEPENDS ${fuzz_dir}/fuzz_*.c)
foreach(fuzz_source IN LISTS fuzz_sources)
  get_filename_component(fuzz_name ${fuzz_source} NAME_WE)
  string(REGEX REPLACE "^fuzz_" "" name ${fuzz_name})
  string(REGEX REPLACE "_.*" "" module ${name})
  if(NOT module IN_LIST SLUICE_MODULES OR empty_${module})
    message(FATAL_ERROR "${fuzz_source}: there is no module \"${module}\"")
  endif()

  fuzz_program(replay_${name} ${module} ${fuzz_source} ${fuzz_dir}/replay_main.c)
  if(IS_DIRECTORY ${fuzz_dir}/corpus/${name})
    add_test(NAME fuzz.${name} COMMAND replay_${name} ${fuzz_dir}/corpus/${name})
    set_tests_properties(fuzz.${name} PROPERTIES LABELS fuzz TIMEOUT 120)
  endif()
  if(SLUICE_FUZZ)
    fuzz_program(fuzz_${name} ${module} ${fuzz_source})
    target_compile_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  endif()
endforeach()
