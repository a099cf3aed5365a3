# SPDX-License-Identifier: Apache-2.0
# Registers what is not a unit test: integration.<feature> (one pytest file each), check.<name> (scripts/check), and the
# replays of the fuzzers' corpora.  The unit tests are registered by the top CMakeLists.txt.

set(SLUICE_PYTHON /usr/bin/python3) # Debian's: it has the packages that scripts/install-packages brings

# Sanitized programs are several times slower; the limits only catch what hangs.
set(integration_timeout_s 240)
if(SLUICE_SANITIZE)
  set(integration_timeout_s 480)
endif()

if(TARGET sluice)
  file(GLOB integration_files CONFIGURE_DEPENDS tests/integration/test_*.py)
  foreach(file IN LISTS integration_files)
    get_filename_component(stem ${file} NAME_WE)
    string(REGEX REPLACE "^test_" "" feature ${stem})
    add_test(NAME integration.${feature}
      COMMAND ${SLUICE_PYTHON} -m pytest -q -p no:cacheprovider --tb=short --strict-markers
        --junitxml=${CMAKE_BINARY_DIR}/results/integration.${feature}.xml ${file}
      WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}/tests/integration)
    set_tests_properties(integration.${feature} PROPERTIES
      LABELS integration
      TIMEOUT ${integration_timeout_s}
      ENVIRONMENT "SLUICE_BIN=$<TARGET_FILE:sluice>;SLUICE_SANITIZE=${SLUICE_SANITIZE};PYTHONDONTWRITEBYTECODE=1")
  endforeach()
endif()

foreach(name format layers names sizes shell cppcheck docs seeds hardening tidy instructions)
  add_test(NAME check.${name} COMMAND ${CMAKE_SOURCE_DIR}/scripts/check ${name})
  set_tests_properties(check.${name} PROPERTIES
    LABELS check
    SKIP_RETURN_CODE 77
    TIMEOUT 900
    ENVIRONMENT "BUILD=${CMAKE_BINARY_DIR}")
endforeach()

# What takes longest begins first, or the others would be over and wait for it alone.  These two keep every processor busy; those
# of the list below wait for clocks for a minute and more: a feature whose test is among the last to end belongs there.
set_tests_properties(check.tidy PROPERTIES COST 300 PROCESSORS 2)
set_tests_properties(check.instructions PROPERTIES COST 200 PROCESSORS 2)
if(TARGET sluice)
  foreach(feature waits leases unverified tls redis_wire attack cluster binary_upgrade logs conformance tls_probes redis_tls)
    set_tests_properties(integration.${feature} PROPERTIES COST 100)
  endforeach()
endif()

include(${CMAKE_SOURCE_DIR}/tests/fuzz/fuzz.cmake OPTIONAL)

# Load, backend and floor of scripts/bench; check.instructions needs the first two.
foreach(name load upstream relay)
  add_executable(bench_${name} tests/bench/${name}.c)
  target_link_libraries(bench_${name} PRIVATE sluice_flags)
endforeach()
target_sources(bench_load PRIVATE tests/bench/secured.c)
target_link_libraries(bench_load PRIVATE m PkgConfig::ssl PkgConfig::crypto)
# A slowdown that check.instructions has to find, for integration.instructions.
add_library(slow_preload MODULE tests/bench/slow_preload.c)
target_compile_definitions(slow_preload PRIVATE _GNU_SOURCE)
target_compile_options(slow_preload PRIVATE -Wall -Wextra -O1 -g -fno-omit-frame-pointer -fno-builtin -fvisibility=hidden)

# What single functions cost (scripts/bench --micro), and the embedded store in depth; built on demand.
foreach(row "http_head http" "route route" "quota store" "lines record reply" "store_memory store")
  separate_arguments(words UNIX_COMMAND "${row}")
  list(POP_FRONT words name)
  add_executable(bench_${name} EXCLUDE_FROM_ALL tests/bench/bench_${name}.c)
  link_modules(bench_${name} ${words})
endforeach()

# Load and servers of scripts/chaos and scripts/soak; built on demand.
add_executable(chaos_load EXCLUDE_FROM_ALL tests/chaos/load.c tests/chaos/load_request.c tests/chaos/message.c)
target_link_libraries(chaos_load PRIVATE sluice_flags m)
add_executable(chaos_backend EXCLUDE_FROM_ALL tests/chaos/backend.c tests/chaos/message.c)
target_link_libraries(chaos_backend PRIVATE sluice_flags)
add_executable(chaos_streams EXCLUDE_FROM_ALL tests/chaos/streams.c tests/chaos/streams_read.c)
target_link_libraries(chaos_streams PRIVATE sluice_flags)

# Lets calls of allocators and of the kernel fail, for scripts/faults and integration.faults.  Never sanitized itself: it stands
# before the sanitizer's runtime.  Built as written: the compiler must not take a wrapper for the function it wraps.
add_library(fault_preload MODULE tests/fault/preload.c)
target_compile_definitions(fault_preload PRIVATE _GNU_SOURCE)
target_compile_options(fault_preload PRIVATE -Wall -Wextra -O1 -g -fno-omit-frame-pointer -fno-builtin -fvisibility=hidden)
target_link_libraries(fault_preload PRIVATE ${CMAKE_DL_LIBS} gcc_s)

# The wall clock says what a test wants, for integration.clocks.
add_library(clock_preload MODULE tests/clock/preload.c)
target_compile_definitions(clock_preload PRIVATE _GNU_SOURCE)
target_compile_options(clock_preload PRIVATE -Wall -Wextra -O1 -g -fno-builtin -fvisibility=hidden)

# Names are those of a file, for integration.health and redis_ways.
add_library(names_preload MODULE tests/names/preload.c)
target_compile_definitions(names_preload PRIVATE _GNU_SOURCE)
target_compile_options(names_preload PRIVATE -Wall -Wextra -O1 -g -fvisibility=hidden)
target_link_libraries(names_preload PRIVATE ${CMAKE_DL_LIBS})

# The engine behind lines on stdin and stdout, for integration.algorithms and scripts/property.
add_executable(property_driver tests/property/driver.c)
link_modules(property_driver lease)
