// One line of a shapes file: a name and key=value pairs; `#` starts a comment. M=1|8 K=10|100 stands for four lines.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "base/types.h"

namespace nacre {

struct Line {
  std::string text;  // as written, without comment and surplus blanks
  std::string name;
  std::map<std::string, std::string> values;

  // A whole number; `otherwise` where the key is absent. Throws std::invalid_argument for what is no number.
  i64 number(const std::string& key) const;  // must be there
  i64 number(const std::string& key, i64 otherwise) const;
  std::vector<i64> numbers(const std::string& key) const;  // a,b,c
  std::string word(const std::string& key, const std::string& otherwise) const;
};

// Lines of the file that are not empty. Throws std::invalid_argument with the line's number.
std::vector<Line> read_lines(const std::string& path);

}  // namespace nacre
