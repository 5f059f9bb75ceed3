# Generates the kernel table and the table of object hashes, and the library that holds them all.
get_property(tables GLOBAL PROPERTY TRITBENCH_KERNEL_TABLES)
get_property(libraries GLOBAL PROPERTY TRITBENCH_ISA_LIBRARIES)
get_property(stamps GLOBAL PROPERTY TRITBENCH_ISA_STAMPS)

set(declarations "")
set(entries "")
foreach(table IN LISTS tables)
  string(APPEND declarations "extern \"C\" const tb_kernel_table tb_table_${table};\n")
  string(APPEND entries "    {\"${table}\", &tb_table_${table}},\n")
endforeach()
configure_file(${PROJECT_SOURCE_DIR}/cmake/registry_table.cpp.in
               ${CMAKE_CURRENT_BINARY_DIR}/registry_table.cpp @ONLY)

set(hashes ${CMAKE_CURRENT_BINARY_DIR}/object_hashes.cpp)
add_custom_command(OUTPUT ${hashes}
  COMMAND ${CMAKE_COMMAND} "-DSTAMPS=${stamps}" -DOUTPUT=${hashes}
          -P ${PROJECT_SOURCE_DIR}/cmake/object_hashes.cmake
  DEPENDS ${stamps} ${PROJECT_SOURCE_DIR}/cmake/object_hashes.cmake VERBATIM
  COMMENT "Collecting kernel object hashes")

add_library(tritbench_kernels STATIC api/cpu.cpp api/registry.cpp
            ${CMAKE_CURRENT_BINARY_DIR}/registry_table.cpp ${hashes})
target_link_libraries(tritbench_kernels PUBLIC tritbench_options fmt::fmt)
foreach(library IN LISTS libraries)
  target_sources(tritbench_kernels PRIVATE $<TARGET_OBJECTS:${library}>)
endforeach()
