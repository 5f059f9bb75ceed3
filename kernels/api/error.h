// The one exception of the project: a message for the user, in one line.
#pragma once

#include <stdexcept>
#include <string>

namespace tritbench {

// Bad usage or bad input. what() names the file or option, the field, what was found and what was
// expected; the command line prints it and exits with 2.
class Error : public std::runtime_error {
  public:
    explicit Error(const std::string& message) : std::runtime_error(message) {}
};

}  // namespace tritbench
