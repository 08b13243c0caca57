#include "cpp/line.h"

#include <fstream>
#include <sstream>
#include <stdexcept>

namespace nacre {
namespace {

i64 to_number(const Line& line, const std::string& key, const std::string& text) {
  std::size_t used = 0;
  i64 n = 0;
  try {
    n = std::stoll(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used == 0 || used != text.size()) {
    throw std::invalid_argument("'" + line.text + "': " + key + " must be a whole number, got '" + text + "'");
  }
  return n;
}

// One line for each choice among values that `|` separates.
void add_choices(const Line& line, std::vector<Line>& lines) {
  for (const auto& item : line.values) {
    if (item.second.find('|') == std::string::npos) continue;
    const std::string written = item.first + "=" + item.second;
    std::istringstream choices(item.second);
    for (std::string choice; std::getline(choices, choice, '|');) {
      Line one = line;
      one.values[item.first] = choice;
      one.text.replace(one.text.find(written), written.size(), item.first + "=" + choice);
      add_choices(one, lines);
    }
    return;
  }
  lines.push_back(line);
}

}  // namespace

i64 Line::number(const std::string& key) const {
  const auto found = values.find(key);
  if (found == values.end()) throw std::invalid_argument("'" + text + "': " + key + "= is missing");
  return to_number(*this, key, found->second);
}

i64 Line::number(const std::string& key, i64 otherwise) const { return values.count(key) ? number(key) : otherwise; }

std::vector<i64> Line::numbers(const std::string& key) const {
  const auto found = values.find(key);
  if (found == values.end()) throw std::invalid_argument("'" + text + "': " + key + "= is missing");
  std::vector<i64> list;
  std::istringstream parts(found->second);
  for (std::string part; std::getline(parts, part, ',');) list.push_back(to_number(*this, key, part));
  return list;
}

std::string Line::word(const std::string& key, const std::string& otherwise) const {
  const auto found = values.find(key);
  return found == values.end() ? otherwise : found->second;
}

std::vector<Line> read_lines(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::invalid_argument("cannot read '" + path + "'");
  std::vector<Line> lines;
  int number = 0;
  for (std::string raw; std::getline(file, raw);) {
    ++number;
    std::istringstream words(raw.substr(0, raw.find('#')));
    Line line;
    for (std::string word; words >> word;) {
      line.text += (line.text.empty() ? "" : " ") + word;
      const std::size_t equals = word.find('=');
      if (line.name.empty() && equals == std::string::npos) {
        line.name = word;
      } else if (equals == std::string::npos || equals == 0 || line.name.empty()) {
        throw std::invalid_argument(path + ":" + std::to_string(number) + ": expected name key=value ..., got '" +
                                    word + "'");
      } else {
        line.values[word.substr(0, equals)] = word.substr(equals + 1);
      }
    }
    if (!line.name.empty()) add_choices(line, lines);
  }
  return lines;
}

}  // namespace nacre
