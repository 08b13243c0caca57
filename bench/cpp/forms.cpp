#include "cpp/forms.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <stdexcept>

#include "dispatch/dispatch.h"
#include "kernels/elementwise_codes.h"

namespace nacre {
namespace {

struct Context {
  const Line& line;
  const KernelTable& table;
};

using Form = std::vector<Case> (*)(const Context&);

struct Window {
  i64 out, before;
};

// Output length and padding in front along one axis; `same` puts the odd row last.
Window window(const Line& line, i64 in, i64 k, i64 stride, i64 dilation) {
  const std::string padding = line.word("padding", "valid");
  const i64 reach = (k - 1) * dilation + 1;
  if (stride < 1 || k < 1 || dilation < 1)
    throw std::invalid_argument("'" + line.text + "': window, stride and dilation must be positive");
  if (padding == "same") {
    const i64 out = ceil_div(in, stride);
    return {out, max_of((out - 1) * stride + reach - in, 0) / 2};
  }
  if (padding != "valid")
    throw std::invalid_argument("'" + line.text + "': padding is same or valid, got '" + padding + "'");
  return {in < reach ? 0 : (in - reach) / stride + 1, 0};
}

// N H W C KH KW SH SW [DH DW] and what follows from them.
FieldValues image_fields(const Line& line) {
  const i64 kh = line.number("KH"), kw = line.number("KW"), sh = line.number("SH", 1), sw = line.number("SW", 1);
  const Window h = window(line, line.number("H"), kh, sh, line.number("DH", 1));
  const Window w = window(line, line.number("W"), kw, sw, line.number("DW", 1));
  return {{"N", {line.number("N")}},
          {"H", {line.number("H")}},
          {"W", {line.number("W")}},
          {"C", {line.number("C")}},
          {"KH", {kh}},
          {"KW", {kw}},
          {"SH", {sh}},
          {"SW", {sw}},
          {"PT", {h.before}},
          {"PL", {w.before}},
          {"OH", {h.out}},
          {"OW", {w.out}}};
}

FieldValues with(FieldValues fields, const FieldValues& more) {
  for (const auto& item : more) fields[item.first] = item.second;
  return fields;
}

i64 elements(const Context& c, const std::string& kernel, const FieldValues& fields, int operand) {
  const KernelEntry* entry = find_kernel(c.table, kernel);
  if (!entry) throw std::invalid_argument("this build has no kernel '" + kernel + "'");
  const Facts facts = entry->facts(words_of(*entry, fields).data());
  return facts.error || !facts.extent[operand].ok() ? 0 : facts.extent[operand].value();
}

// Percent of zeros in x and dy.
std::map<std::string, i64> zeros(const Context& c) {
  return {{"x", c.line.number("zeros_x", 0)}, {"dy", c.line.number("zeros_dy", 0)}};
}

// The gradient of few weights is cut into sums over chunks of rows as the op does (`grad_w_chunks` in products.py).
std::vector<Case> dense(const Context& c) {
  const i64 M = c.line.number("M"), K = c.line.number("K"), N = c.line.number("N");
  const FieldValues mnk{{"M", {M}}, {"K", {K}}, {"N", {N}}};
  const i64 tiles = K > 0 && N > 0 ? ceil_div(K, 64) * ceil_div(N, 64) : 1, chunks = min_of(64 / tiles, M / 1024);
  Case grad_w{"grad_w", {{"dense_grad_w", mnk, {"x", "dy", "dw"}}}, {}, zeros(c)};
  if (chunks > 1) {
    const FieldValues join{{"O", {1}}, {"R", {chunks}}, {"I", {K * N}}, {"chunk", {chunks}}, {"scale", {1}}};
    grad_w.calls = {{"dense_grad_w", with(mnk, {{"chunks", {chunks}}}), {"x", "dy", "tmp"}},
                    {"reduce", join, {"tmp", "dw"}}};
  }
  return {{"forward", {{"dense", with(mnk, {{"bias", {1}}}), {"x", "w", "b", "y"}}}, {}, zeros(c)},
          {"grad_x", {{"dense_grad_x", mnk, {"dy", "w", "", "dx"}}}, {}, zeros(c)},
          grad_w};
}

// A weight gradient that ends in w - g * lr.
std::vector<Case> dense_update(const Context& c) {
  std::vector<i64> scalar(8), out_reg(4), code(240);
  scalar[2] = 1;
  out_reg[0] = 25;
  const i64 lines[] = {static_cast<i64>(Code::mul), 24, 0, 2, 0, static_cast<i64>(Code::sub), 25, 1, 24, 0};
  std::copy(std::begin(lines), std::end(lines), code.begin());
  const FieldValues fields{{"M", {c.line.number("M")}},
                           {"K", {c.line.number("K")}},
                           {"N", {c.line.number("N")}},
                           {"inputs", {3}},  // g, w, lr
                           {"outputs", {1}},
                           {"scalar", scalar},
                           {"length", {2}},
                           {"code", code},
                           {"out_reg", out_reg}};
  return {{"forward",
           {{"dense_grad_w_map", fields, {"x", "dy", "w", "lr", "", "", "", "", "", "w", "", "", ""}}},
           {},
           zeros(c)}};
}

std::vector<Case> matmul(const Context& c) {
  const FieldValues fields{{"B", {c.line.number("B", 1)}},
                           {"M", {c.line.number("M")}},
                           {"K", {c.line.number("K")}},
                           {"N", {c.line.number("N")}}};
  return {{"forward", {{"matmul", fields, {"a", "b", "c"}}}, {}}};
}

// The gradient of the weights, with its join when the sums come in parts.
Case weight_gradient(const Context& c, const std::string& kernel, const FieldValues& fields,
                     std::vector<std::string> inputs, std::map<std::string, i64> below) {
  const int dw = static_cast<int>(inputs.size());
  const bool parts = elements(c, kernel + "_grad_w", fields, dw) > elements(c, kernel + "_grad_w_join", fields, 2);
  const std::string tmp = parts ? "tmp_" : "";
  Case result{"grad_w", {}, std::move(below)};
  inputs.insert(inputs.end(), {tmp + "dw", tmp + "db"});
  result.calls.push_back({kernel + "_grad_w", fields, inputs});
  if (parts) result.calls.push_back({kernel + "_grad_w_join", fields, {"tmp_dw", "tmp_db", "dw", "db"}});
  return result;
}

std::vector<Case> convolution(const Context& c, const std::string& kernel, const FieldValues& more,
                              const std::vector<std::string>& forward, const std::vector<std::string>& grad_x) {
  const FieldValues fields = with(with(image_fields(c.line), more),
                                  {{"DH", {c.line.number("DH", 1)}}, {"DW", {c.line.number("DW", 1)}}, {"bias", {1}}});
  return {{"forward", {{kernel, fields, forward}}, {}},
          {"grad_x", {{kernel + "_grad_x", with(fields, {{"bias", {0}}}), grad_x}}, {}},
          weight_gradient(c, kernel, fields, {"x", "dy"}, {})};
}

std::vector<Case> conv2d(const Context& c) {
  return convolution(c, "conv2d", {{"O", {c.line.number("O")}}, {"G", {c.line.number("G", 1)}}},
                     {"x", "w", "b", "", "y"}, {"dy", "w", "", "", "", "dx"});
}

// FLOP as of the plain convolution.
std::vector<Case> conv2d_winograd(const Context& c) {
  const i64 KH = c.line.number("KH", 3), KW = c.line.number("KW", 3), S = c.line.number("stride", 1);
  const Window h = window(c.line, c.line.number("H"), KH, S, 1), w = window(c.line, c.line.number("W"), KW, S, 1);
  const FieldValues image{{"N", {c.line.number("N")}},
                          {"H", {c.line.number("H")}},
                          {"W", {c.line.number("W")}},
                          {"C", {c.line.number("C")}},
                          {"O", {c.line.number("O")}},
                          {"PT", {h.before}},
                          {"PL", {w.before}},
                          {"OH", {h.out}},
                          {"OW", {w.out}},
                          {"bias", {1}},
                          {"KH", {KH}},
                          {"KW", {KW}},
                          {"stride", {S}},
                          {"tile", {c.line.number("tile", KW == 5 && S == 1 ? 2 : 4)}}};
  const FieldValues turned = with(image, {{"turned", {1}},
                                          {"bias", {0}},
                                          {"N", image.at("N")},
                                          {"H", image.at("OH")},
                                          {"W", image.at("OW")},
                                          {"C", image.at("O")},
                                          {"O", image.at("C")},
                                          {"OH", image.at("H")},
                                          {"OW", image.at("W")}});
  return {{"forward",
           {{"conv2d_winograd", image, {"x", "packed", "b", "", "", "y"}}},
           {},
           {},
           {{"conv2d_winograd_pack", image, {"tmp_w", "packed"}}}},
          {"pack", {{"conv2d_winograd_pack", image, {"w", "packed"}}}, {}},
          {"grad_x",
           {{"conv2d_winograd", turned, {"dy", "packed", "", "", "", "dx"}}},
           {},
           {},
           {{"conv2d_winograd_pack", turned, {"tmp_w", "packed"}}}},
          weight_gradient(c, "conv2d_winograd", image, {"x", "dy"}, {})};
}

std::vector<Case> depthwise_conv2d(const Context& c) {
  return convolution(c, "depthwise_conv2d", {{"M", {c.line.number("multiplier", 1)}}}, {"x", "w", "b", "y"},
                     {"dy", "w", "", "dx"});
}

// Convolution, bias, ReLU and max-pooling; FLOP as of the unfused passes. The gradients run without ReLU, so that every
// window is alive, which is the slowest case.
std::vector<Case> conv2d_pool(const Context& c) {
  const i64 P = c.line.number("pool", 2);
  const FieldValues fields = with(image_fields(c.line), {{"O", {c.line.number("O")}},
                                                         {"G", {1}},
                                                         {"DH", {c.line.number("DH", 1)}},
                                                         {"DW", {c.line.number("DW", 1)}},
                                                         {"bias", {1}},
                                                         {"P", {P}},
                                                         {"index", {1}}});
  const std::map<std::string, i64> below{{"index", P * P}};
  return {{"forward", {{"conv2d_pool", with(fields, {{"act", {1}}}), {"x", "w", "b", "y", "index_of_sums"}}}, {}},
          {"grad_x", {{"conv2d_pool_grad_x", fields, {"dy", "", "index", "w", "", "dx"}}}, below},
          weight_gradient(c, "conv2d_pool", fields, {"x", "dy", "", "index"}, below)};
}

std::vector<Case> max_pool2d(const Context& c) {
  const FieldValues fields = with(image_fields(c.line), {{"index", {1}}});
  const i64 taps = c.line.number("KH") * c.line.number("KW");
  return {{"forward", {{"max_pool2d", fields, {"x", "y", "index"}}}, {}},
          {"grad_x", {{"max_pool2d_grad_x", fields, {"dy", "index", "dx"}}}, {{"index", taps}}}};
}

std::vector<Case> avg_pool2d(const Context& c) {
  const FieldValues fields = image_fields(c.line);
  return {{"forward", {{"avg_pool2d", fields, {"x", "y"}}}, {}},
          {"grad_x", {{"avg_pool2d_grad_x", fields, {"dy", "dx"}}}, {}}};
}

std::vector<Case> concat(const Context& c) {
  constexpr std::size_t kMost = 16;
  std::vector<i64> widths = c.line.numbers("widths");
  if (widths.empty() || widths.size() > kMost) throw std::invalid_argument("'" + c.line.text + "': 1 to 16 widths");
  const i64 count = static_cast<i64>(widths.size());
  std::vector<std::string> parts(kMost);
  for (std::size_t i = 0; i < widths.size(); ++i) parts[i] = "x" + std::to_string(i);
  widths.resize(kMost, 0);
  const FieldValues fields{{"rows", {c.line.number("M")}}, {"count", {count}}, {"widths", widths}, {"itemsize", {4}}};
  std::vector<std::string> joined = parts, apart{"y"};
  joined.push_back("y");
  apart.insert(apart.end(), parts.begin(), parts.end());
  return {{"forward", {{"concat", fields, joined}}, {}}, {"grad_x", {{"split", fields, apart}}, {}}};
}

std::vector<Case> softmax(const Context& c) {
  const FieldValues fields{{"M", {c.line.number("M")}}, {"N", {c.line.number("N")}}};
  return {{"forward", {{"softmax", fields, {"x", "y"}}}, {}},
          {"grad_x", {{"softmax_grad_x", fields, {"y", "dy", "dx"}}}, {}}};
}

// M rows of C channels. Statistics are cut as the op does: 64 chunks of rows, none shorter than about 16,000 elements, nor
// than 64 rows.
std::vector<Case> batch_norm(const Context& c) {
  const i64 rows = c.line.number("M"), channels = c.line.number("C");
  if (rows < 1 || channels < 1) throw std::invalid_argument("'" + c.line.text + "': M and C must be positive");
  const i64 chunk = max_of(max_of(ceil_div(rows, 64), ceil_div(16384, channels)), 64), chunks = ceil_div(rows, chunk);
  const FieldValues shape{{"R", {rows}}, {"C", {channels}}};
  const FieldValues stats = with(shape, {{"chunk", {chunk}}});
  const FieldValues apply = with(shape, {{"has_gamma", {1}}, {"has_beta", {1}}, {"eps", {1}}});
  const FieldValues join{{"O", {1}}, {"R", {chunks}}, {"I", {2 * channels}}, {"chunk", {chunks}}, {"scale", {1}}};
  return {
      {"forward",
       {{"batch_norm_partials", stats, {"x", "tmp"}},
        {"batch_norm_join", stats, {"tmp", "mean", "var"}},
        {"batch_norm_apply", apply, {"x", "mean", "var", "gamma", "beta", "", "y"}}},
       {}},
      {"grad_x",
       {{"batch_norm_grad_stats", with(stats, {{"eps", {1}}}), {"x", "dy", "mean", "var", "", "", "tmp"}},
        {"reduce", join, {"tmp", "sums"}},
        {"batch_norm_grad_x", with(apply, {{"has_beta", {0}}}), {"x", "dy", "mean", "var", "gamma", "", "sums", "dx"}}},
       {{"var", 2}}}};
}

// M rows of N; grad_w makes sums over chunks of rows, cut as those of batch_norm, which the op joins.
std::vector<Case> layer_norm(const Context& c) {
  const i64 rows = c.line.number("M"), width = c.line.number("N");
  if (rows < 1 || width < 1) throw std::invalid_argument("'" + c.line.text + "': M and N must be positive");
  const FieldValues shape{{"M", {rows}}, {"N", {width}}};
  const FieldValues norm = with(shape, {{"has_gamma", {1}}, {"eps", {1}}});
  const FieldValues sums = with(shape, {{"chunk", {max_of(max_of(ceil_div(rows, 64), ceil_div(16384, width)), 64)}}});
  return {
      {"forward", {{"layer_norm", with(norm, {{"has_beta", {1}}}), {"x", "gamma", "beta", "y", "mean", "rstd"}}}, {}},
      {"grad_x", {{"layer_norm_grad_x", norm, {"x", "dy", "gamma", "mean", "rstd", "dx"}}}, {}},
      {"grad_w", {{"layer_norm_grad_params", sums, {"x", "dy", "mean", "rstd", "sums"}}}, {}}};
}

// A step of an optimizer as elementwise bytecode on `arrays` inputs of n elements, and `numbers`. The last result goes to
// the first output, the one before it to the second.
std::vector<Case> update(const Context& c, i64 arrays, i64 numbers, i64 outputs, const std::vector<i64>& lines,
                         const std::vector<std::string>& operands) {
  const i64 length = static_cast<i64>(lines.size()) / 5;
  std::vector<i64> strides(48), code(240), out_reg(4), dims(6, 1);
  for (i64 i = 0; i < arrays; ++i) strides[i * 6] = 1;
  std::copy(lines.begin(), lines.end(), code.begin());
  for (i64 o = 0; o < outputs; ++o) out_reg[o] = 24 + length - 1 - o;
  dims[0] = c.line.number("n");
  const FieldValues fields{{"rank", {1}},        {"dims", dims},         {"inputs", {arrays + numbers}},
                           {"length", {length}}, {"code", code},         {"outputs", {outputs}},
                           {"out_reg", out_reg}, {"in_strides", strides}};
  return {{"forward", {{"elementwise", fields, operands}}, {}}};
}

constexpr i64 op(Code code) { return static_cast<i64>(code); }

// w - g * lr
std::vector<Case> sgd(const Context& c) {
  return update(c, 2, 1, 1, {op(Code::mul), 24, 1, 2, 0, op(Code::sub), 25, 0, 24, 0},
                {"w", "g", "lr", "", "", "", "", "", "w", "", "", ""});
}

// m' = m * momentum - g * lr; w + m'
std::vector<Case> momentum(const Context& c) {
  return update(c, 3, 2, 2, {op(Code::mul), 24, 1,  3,  0, op(Code::mul), 25, 2, 4,  0,
                             op(Code::sub), 26, 25, 24, 0, op(Code::add), 27, 0, 26, 0},
                {"w", "g", "m", "lr", "momentum", "", "", "", "w", "m", "", ""});
}

// One instruction of the elementwise bytecode on n numbers.
std::vector<Case> elementwise(const Context& c) {
  const std::string op = c.line.word("op", "");
  i64 code = 0;
  while (code < elementwise_count && op != elementwise_name(static_cast<int>(code))) ++code;
  if (code == elementwise_count) throw std::invalid_argument("'" + c.line.text + "': op is a name of elementwise.def");
  constexpr i64 kRank = 6, kMost = 8, kFirstTemp = 24;
  std::vector<i64> dims(kRank), strides(kMost * kRank), words(240), out_reg(4);
  dims[0] = c.line.number("n");
  const i64 arity = elementwise_arity(static_cast<int>(code)), line[] = {code, kFirstTemp, 0, 1, 2};
  std::copy(std::begin(line), std::end(line), words.begin());
  out_reg[0] = kFirstTemp;
  std::vector<std::string> operands(12);
  for (i64 i = 0; i < arity; ++i) {
    strides[static_cast<std::size_t>(i * kRank)] = 1;
    operands[static_cast<std::size_t>(i)] = "x" + std::to_string(i);
  }
  operands[kMost] = "y";
  const FieldValues fields{{"rank", {1}},   {"dims", dims},          {"inputs", {arity}}, {"outputs", {1}},
                           {"length", {1}}, {"in_strides", strides}, {"code", words},     {"out_reg", out_reg}};
  return {{"forward", {{"elementwise", fields, operands}}, {}}};
}

struct Named {
  const char* name;
  Form form;
  const char* keys;  // that it understands
};

constexpr const char* kImageKeys = " N H W C KH KW SH SW padding ";

const Named kForms[] = {
    {"dense", dense, " M K N zeros_x zeros_dy "},
    {"dense_update", dense_update, " M K N zeros_x zeros_dy "},
    {"matmul", matmul, " B M K N "},
    {"conv2d", conv2d, " N H W C KH KW SH SW padding O DH DW G "},
    {"conv2d_winograd", conv2d_winograd, " N H W C O KH KW stride padding tile "},
    {"depthwise_conv2d", depthwise_conv2d, " N H W C KH KW SH SW padding DH DW multiplier "},
    {"conv2d_pool", conv2d_pool, " N H W C KH KW SH SW padding O DH DW pool "},
    {"max_pool2d", max_pool2d, kImageKeys},
    {"avg_pool2d", avg_pool2d, kImageKeys},
    {"concat", concat, " M widths "},
    {"softmax", softmax, " M N "},
    {"batch_norm", batch_norm, " M C "},
    {"layer_norm", layer_norm, " M N "},
    {"elementwise", elementwise, " op n "},
    {"sgd", sgd, " n "},
    {"momentum", momentum, " n "},
};

void check_keys(const Line& line, const char* known) {
  for (const auto& item : line.values) {
    if (item.first != "pass" && !std::strstr(known, (" " + item.first + " ").c_str())) {
      throw std::invalid_argument("'" + line.text + "': " + line.name + " has no key " + item.first + "; it has" +
                                  known + "and pass");
    }
  }
}

}  // namespace

std::vector<i64> words_of(const KernelEntry& kernel, const FieldValues& values) {
  std::vector<i64> words(static_cast<std::size_t>(kernel.slots), 0);
  std::size_t used = 0;
  for (int i = 0; i < kernel.fields.n; ++i) {
    const Field& f = kernel.fields.at[i];
    const auto found = values.find(f.name);
    if (found == values.end()) continue;
    ++used;
    if (static_cast<int>(found->second.size()) != f.count) {
      throw std::invalid_argument(std::string("kernel '") + kernel.name + "': field " + f.name + " has " +
                                  std::to_string(f.count) + " values");
    }
    for (int k = 0; k < f.count; ++k) {
      const i64 value = found->second[static_cast<std::size_t>(k)];
      const double real = static_cast<double>(value);
      std::memcpy(&words[static_cast<std::size_t>(f.slot + k)], f.is_real ? static_cast<const void*>(&real) : &value,
                  8);
    }
  }
  if (used == values.size()) return words;
  for (const auto& item : values) {
    bool known = false;
    for (int i = 0; i < kernel.fields.n; ++i) known = known || item.first == kernel.fields.at[i].name;
    if (!known) throw std::invalid_argument(std::string("kernel '") + kernel.name + "' has no field " + item.first);
  }
  return words;
}

std::vector<Case> cases_of(const Line& line, const KernelTable& table) {
  const Named* named = nullptr;
  for (const Named& f : kForms) named = line.name == f.name ? &f : named;
  if (!named) {
    std::string known;
    for (const Named& f : kForms) known += std::string(" ") + f.name;
    throw std::invalid_argument("'" + line.text + "': no form is called '" + line.name + "'; there are" + known);
  }
  check_keys(line, named->keys);
  const std::vector<Case> all = named->form({line, table});
  const std::string wanted = line.word("pass", "");
  std::vector<Case> chosen;
  for (const Case& c : all) {
    if (wanted.empty() || wanted == c.pass) chosen.push_back(c);
  }
  if (chosen.empty()) throw std::invalid_argument("'" + line.text + "': there is no pass '" + wanted + "'");
  return chosen;
}

}  // namespace nacre
