# version.cpp: what the binary says of itself, refreshed by every build (not only every configure).
string(TOUPPER "${CMAKE_BUILD_TYPE}" _type)
set(_flags "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${_type}} -ffp-contract=off")
if(TRITBENCH_SANITIZE)
  string(APPEND _flags " -fsanitize=${TRITBENCH_SANITIZE}")
endif()
string(STRIP "${_flags}" _flags)
add_custom_target(tritbench_version ALL
  COMMAND ${CMAKE_COMMAND} -DSOURCE=${PROJECT_SOURCE_DIR}
          -DOUTPUT=${CMAKE_CURRENT_BINARY_DIR}/version.cpp -DVERSION=${PROJECT_VERSION}
          "-DCOMPILER=${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}" "-DFLAGS=${_flags}"
          "-DTYPE=${CMAKE_BUILD_TYPE}" -P ${PROJECT_SOURCE_DIR}/cmake/write_version.cmake
  BYPRODUCTS ${CMAKE_CURRENT_BINARY_DIR}/version.cpp VERBATIM COMMENT "Noting the revision")
