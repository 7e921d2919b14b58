# Run by every build: cmake -DSOURCE=... -DOUTPUT=... -DVERSION=... -DGRPC=... -DFALLBACK=... -P version.cmake
# Writes OUTPUT only when it would differ, so that nothing is compiled for an unchanged revision.
cmake_minimum_required(VERSION 3.25)

set(revision "${FALLBACK}")
find_program(GIT git)
if(GIT)
  # A source tree without .git may lie inside somebody else's work tree: that is not our revision.
  execute_process(COMMAND ${GIT} --no-optional-locks -C ${SOURCE} rev-parse --show-prefix
                  OUTPUT_VARIABLE prefix RESULT_VARIABLE failed
                  OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(NOT failed AND prefix STREQUAL "")
    execute_process(COMMAND ${GIT} --no-optional-locks -C ${SOURCE} describe --always --dirty --abbrev=12 --exclude=*
                    OUTPUT_VARIABLE described RESULT_VARIABLE failed
                    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    if(NOT failed)
      set(revision "${described}")
    endif()
  endif()
endif()
if(revision STREQUAL "")
  set(revision "unknown")
endif()
file(CONFIGURE OUTPUT ${OUTPUT} @ONLY CONTENT
"#define SFL_VERSION_TEXT \"${VERSION}\"
#define SFL_GRPC_TEXT \"${GRPC}\"
#define SFL_REVISION_TEXT \"${revision}\"
")
