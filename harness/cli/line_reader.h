// Lines of standard input, as they come, with an end by Ctrl-C.
#pragma once

#include <optional>
#include <string>

namespace tritbench::cli {

class LineReader {
  public:
    // The next line without its line feed; empty at the end of input, or once interrupted(). Throws
    // Error on a read error and on a line of more than 16 MiB.
    std::optional<std::string> next();

  private:
    std::string ahead_;  // read, not given out
    bool ended_ = false;
};

}  // namespace tritbench::cli
