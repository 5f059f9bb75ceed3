# Run after an ISA object is compiled: OBJECT may define no external or weak symbol but SYMBOL.
# Writes the SHA-256 of the object to STAMP. Sanitizers add symbols of their own: skipped there.
execute_process(COMMAND ${NM} --defined-only --extern-only --format=posix ${OBJECT}
                OUTPUT_VARIABLE listing RESULT_VARIABLE rc ERROR_VARIABLE problem)
if(NOT rc EQUAL 0)
  message(FATAL_ERROR "${NM} ${OBJECT}: ${problem}")
endif()
string(REGEX MATCHALL "[^\n]+" lines "${listing}")
set(found FALSE)
foreach(line IN LISTS lines)
  string(REGEX REPLACE " .*" "" name "${line}")
  if(name STREQUAL SYMBOL)
    set(found TRUE)
  elseif(NOT SANITIZE)
    message(FATAL_ERROR
      "${OBJECT}: defines the external symbol '${line}'; an ISA file may define only ${SYMBOL}. "
      "Make it static, or keep headers with inline functions out of ISA files.")
  endif()
endforeach()
if(NOT found)
  message(FATAL_ERROR "${OBJECT}: does not define ${SYMBOL}, the table the registry expects")
endif()
file(SHA256 ${OBJECT} hash)
file(WRITE ${STAMP} "${hash}")
