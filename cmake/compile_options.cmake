# Flags shared by everything, as one interface target.
#
# -ffp-contract=off: the compiler may not fuse a*b+c, so that results do not depend on the ISA.
add_library(tritbench_options INTERFACE)
target_include_directories(tritbench_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(tritbench_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wcast-qual -ffp-contract=off
  # GCC 12 sees overlaps in std::string's operator+ that are not there (PR105329).
  $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict>
  $<$<BOOL:${TRITBENCH_WERROR}>:-Werror>)
if(TRITBENCH_SANITIZE)
  target_compile_options(tritbench_options INTERFACE
    -fsanitize=${TRITBENCH_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(tritbench_options INTERFACE -fsanitize=${TRITBENCH_SANITIZE})
endif()
