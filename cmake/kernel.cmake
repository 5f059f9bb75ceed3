# tritbench_add_kernels(<layout> <isa>...)   kernels/<layout>/<isa>.cpp -> the registry
# tritbench_add_isa_library(<name> <isa> <symbol> <source>)   one ISA-specific object, checked
#
# Each ISA file becomes an object library with the flags of its ISA. After it is compiled,
# check_isa_object.cmake refuses any external or weak symbol but its one table: inline code from a
# wide-ISA file, merged by the linker, is how a binary dies of SIGILL on an older CPU. The hash of
# the object is kept: it identifies the machine code a result was measured with.
include(isa)

function(tritbench_add_isa_library name isa symbol source)
  add_library(${name} OBJECT ${source})
  target_link_libraries(${name} PRIVATE tritbench_options)
  target_compile_options(${name} PRIVATE
    ${TRITBENCH_FLAGS_${isa}} -fno-exceptions -fno-rtti -fno-threadsafe-statics -fno-stack-protector
    $<$<CXX_COMPILER_ID:GNU>:-Wno-psabi>
    # GCC 12 warns about its own _mm512_undefined_* (PR105593).
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized -Wno-uninitialized>)
  set(stamp ${CMAKE_CURRENT_BINARY_DIR}/${name}.hash)
  add_custom_command(OUTPUT ${stamp}
    COMMAND ${CMAKE_COMMAND} -DOBJECT=$<TARGET_OBJECTS:${name}> -DSYMBOL=${symbol}
            -DSTAMP=${stamp} -DNM=${CMAKE_NM} -DSANITIZE=${TRITBENCH_SANITIZE}
            -P ${PROJECT_SOURCE_DIR}/cmake/check_isa_object.cmake
    DEPENDS $<TARGET_OBJECTS:${name}> ${name} ${PROJECT_SOURCE_DIR}/cmake/check_isa_object.cmake
    VERBATIM COMMENT "Checking the symbols of ${name}")
  set_property(GLOBAL APPEND PROPERTY TRITBENCH_ISA_LIBRARIES ${name})
  set_property(GLOBAL APPEND PROPERTY TRITBENCH_ISA_STAMPS ${stamp})
endfunction()

function(tritbench_add_kernels layout)
  foreach(isa IN LISTS ARGN)
    if(isa IN_LIST TRITBENCH_ISAS)
      tritbench_add_isa_library(kernel_${layout}_${isa} ${isa} tb_table_${layout}_${isa}
                                ${CMAKE_CURRENT_SOURCE_DIR}/${layout}/${isa}.cpp)
      set_property(GLOBAL APPEND PROPERTY TRITBENCH_KERNEL_TABLES ${layout}_${isa})
    endif()
  endforeach()
endfunction()
