#include "bindings/programs.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>

#include "bindings/arrays.h"
#include "bindings/unlocked.h"
#include "dispatch/dispatch.h"
#include "runtime/executor.h"
#include "runtime/limits.h"
#include "runtime/team.h"

namespace nacre {
namespace {

std::string slot_name(i64 slot) { return "slot " + std::to_string(slot); }

struct Span {
  const char* begin;
  const char* end;
  bool writable;
  i64 slot;  // -1 for a dataset
};

// Arrays may share memory only where nobody writes.
void check_overlaps(std::vector<Span>& spans) {
  std::sort(spans.begin(), spans.end(), [](const Span& a, const Span& b) { return a.begin < b.begin; });
  const Span* reaches = nullptr;  // of the spans so far, the one that ends last
  const Span* writable_reaches = nullptr;
  const auto later = [](const Span* a, const Span* b) { return !a || b->end > a->end ? b : a; };
  for (const Span& s : spans) {
    if (s.begin == s.end) continue;
    const Span* other = s.writable ? reaches : writable_reaches;
    if (other && other->end > s.begin) {
      const auto name = [](const Span& x) { return x.slot < 0 ? std::string("a dataset") : slot_name(x.slot); };
      value_error(name(*other) + " and " + name(s) + " share memory, and the program writes to one of them");
    }
    reaches = later(reaches, &s);
    if (s.writable) writable_reaches = later(writable_reaches, &s);
  }
}

class PyProgram {
 public:
  PyProgram(const py::array& words, const py::buffer& constants, const std::optional<std::string>& isa)
      : executor_(decode(words, constants, isa)) {}

  const Program& program() const { return executor_.program(); }

  void run(py::handle arrays) {
    Executor::Lease context(executor_);
    const py::tuple kept = as_tuple(arrays);
    bind(*context, kept, nullptr, 0);
    const Unlocked unlocked;
    executor_.run(*context);
  }

  void run_steps(py::handle arrays, py::handle feeds, const py::object& order, i64 batch, i64 begin, i64 count) {
    Executor::Lease context(executor_);
    const py::tuple kept = as_tuple(arrays), kept_feeds = as_tuple(feeds);
    const i64 n = static_cast<i64>(kept_feeds.size());
    std::vector<Feed> list;
    std::vector<i64> rows;
    for (const auto& item : kept_feeds) {
      if (!py::isinstance<py::tuple>(item) || py::len(item) != 2) {
        throw py::type_error("a feed is a tuple (slot, dataset), got " + std::string(py::str(py::type::of(item))));
      }
      const auto pair = py::reinterpret_borrow<py::tuple>(item);
      add_feed(pair[0].cast<i64>(), pair[1], batch, list, rows);
    }
    StepRange range{list.data(), n, nullptr, batch, begin, count};
    if (batch < 1) value_error("batch must be positive, got " + std::to_string(batch));
    if (begin < 0 || count < 0) value_error("begin and count must not be negative");
    const Count last = (Count(begin) + Count(count)) * Count(batch);
    if (!last.ok()) value_error("begin, count and batch are too large");
    if (!order.is_none()) range.order = check_order(order, begin * batch, last.value(), rows);
    for (std::size_t f = 0; !range.order && f < rows.size(); ++f) {
      if (last.value() > rows[f]) {
        value_error("steps " + std::to_string(begin) + " to " + std::to_string(begin + count) + " of " +
                    std::to_string(batch) + " rows need " + std::to_string(last.value()) + " rows, the dataset of " +
                    slot_name(list[f].slot) + " has " + std::to_string(rows[f]));
      }
    }
    bind(*context, kept, &list, n);
    check_against_datasets(*context, list, rows);
    const Unlocked unlocked;
    executor_.run_steps(*context, range);
  }

  py::list profile(py::handle arrays, int repeats) {
    if (repeats < 1) value_error("repeats must be positive, got " + std::to_string(repeats));
    Executor::Lease context(executor_);
    const py::tuple kept = as_tuple(arrays);
    bind(*context, kept, nullptr, 0);
    std::vector<double> ns;
    {
      const Unlocked unlocked;
      ns = executor_.profile(*context, repeats);
    }
    py::list all;
    for (std::size_t i = 0; i < ns.size(); ++i) {
      const Instruction& instruction = program().instructions()[i];
      all.append(py::make_tuple(instruction.kernel->name, ns[i], instruction.flops, instruction.bytes));
    }
    return all;
  }

  py::bytes saved(py::handle arrays) {
    Executor::Lease context(executor_);
    const py::tuple kept = as_tuple(arrays);
    bind(*context, kept, nullptr, 0);
    const std::vector<i64> words = program().encode();
    const i64 counts[2] = {static_cast<i64>(words.size()), program().constants_bytes()};
    std::string file = "NACREPRG";
    file.append(reinterpret_cast<const char*>(counts), sizeof counts);
    file.append(reinterpret_cast<const char*>(words.data()), words.size() * sizeof(i64));
    if (counts[1] > 0) file.append(program().constants(), static_cast<std::size_t>(counts[1]));
    for (std::size_t i = 0; i < program().slots().size(); ++i) {
      file.append(context->bases[kFirstSlotBase + i], static_cast<std::size_t>(program().slots()[i].bytes));
    }
    return py::bytes(file);
  }

  py::list slots() const {
    py::list all;
    for (const SlotInfo& s : program().slots()) all.append(py::make_tuple(s.bytes, s.writable));
    return all;
  }

  py::list instructions() const {
    const Plan plan = make_plan(program(), get_threads());
    py::list all;
    for (std::size_t i = 0; i < plan.threads_of.size(); ++i) {
      const Instruction& instruction = program().instructions()[i];
      py::dict d;
      d["kernel"] = instruction.kernel->name;
      d["units"] = instruction.units;
      d["flops"] = instruction.flops;
      d["bytes"] = instruction.bytes;
      d["threads"] = plan.threads_of[i];
      d["phase"] = plan.phase_of[i];
      all.append(d);
    }
    return all;
  }

 private:
  static std::unique_ptr<const Program> decode(const py::array& words, const py::buffer& constants,
                                               const std::optional<std::string>& isa) {
    if (words.ndim() != 1 || !is_dtype(words, DType::i64)) {
      throw py::type_error("words must be an array (n,) of int64, got dtype " + std::string(py::str(words.dtype())) +
                           " with " + std::to_string(words.ndim()) + " dimensions");
    }
    const Bytes w = bytes_of(words, "words", 0);
    Py_buffer view;
    if (PyObject_GetBuffer(constants.ptr(), &view, PyBUF_SIMPLE) != 0) throw py::error_already_set();
    const std::unique_ptr<Py_buffer, void (*)(Py_buffer*)> release(&view, &PyBuffer_Release);
    return std::make_unique<const Program>(reinterpret_cast<const i64*>(w.at), w.n / 8,
                                           static_cast<const char*>(view.buf), static_cast<i64>(view.len),
                                           table_of(isa.value_or("")));
  }

  // Points the context's bases at the arrays, checked. Slots that `feeds` fill take None.
  void bind(Context& context, const py::tuple& arrays, const std::vector<Feed>* feeds, i64 n_feeds) const {
    const std::vector<SlotInfo>& slots = program().slots();
    const std::size_t given = arrays.size();
    if (given != slots.size()) {
      value_error("the program has " + std::to_string(slots.size()) + " slots, got " + std::to_string(given) +
                  " arrays");
    }
    char** const bases = context.bases.data() + kFirstSlotBase;
    bool known = n_feeds == 0 && context.known_good.size() == slots.size();
    for (std::size_t i = 0; i < slots.size(); ++i) {
      if (n_feeds > 0 && PyTuple_GET_ITEM(arrays.ptr(), static_cast<Py_ssize_t>(i)) == Py_None &&
          is_fed(*feeds, static_cast<int>(i))) {
        bases[i] = nullptr;
        continue;
      }
      bases[i] = check_slot(PyTuple_GET_ITEM(arrays.ptr(), static_cast<Py_ssize_t>(i)), slots[i], static_cast<i64>(i));
      known = known && bases[i] == context.known_good[i];
    }
    if (known) return;
    context.known_good.clear();
    std::vector<Span> spans;
    for (std::size_t i = 0; i < slots.size(); ++i) {
      if (bases[i]) spans.push_back({bases[i], bases[i] + slots[i].bytes, slots[i].writable, static_cast<i64>(i)});
    }
    check_overlaps(spans);
    if (n_feeds == 0) context.known_good.assign(bases, bases + slots.size());
  }

  static bool is_fed(const std::vector<Feed>& feeds, int slot) {
    return std::any_of(feeds.begin(), feeds.end(), [slot](const Feed& f) { return f.slot == slot; });
  }

  static char* check_slot(py::handle array, const SlotInfo& slot, i64 number) {
    const Bytes b = bytes_of(array, "the array of slot", number);
    if (b.n != slot.bytes) {
      value_error(slot_name(number) + " takes " + std::to_string(slot.bytes) + " bytes, got " + std::to_string(b.n));
    }
    if (slot.writable && !b.writable) value_error(slot_name(number) + " is written to, but its array is read-only");
    if (reinterpret_cast<std::uintptr_t>(b.at) % static_cast<std::uintptr_t>(slot.align) != 0) {
      value_error(slot_name(number) + ": the array is not aligned to " + std::to_string(slot.align) + " bytes");
    }
    return b.at;
  }

  void add_feed(i64 slot, py::handle dataset, i64 batch, std::vector<Feed>& list, std::vector<i64>& rows) const {
    const std::vector<SlotInfo>& slots = program().slots();
    if (slot < 0 || slot >= static_cast<i64>(slots.size()))
      value_error("a feed names " + slot_name(slot) + ", which is not there");
    const SlotInfo& info = slots[static_cast<std::size_t>(slot)];
    if (info.writable) value_error(slot_name(slot) + " is written to; a dataset cannot feed it");
    if (is_fed(list, static_cast<int>(slot))) value_error(slot_name(slot) + " is fed twice");
    const Bytes b = bytes_of(dataset, "the dataset of slot", slot);
    const auto array = py::reinterpret_borrow<py::array>(dataset);
    if (array.ndim() < 1) value_error("the dataset of " + slot_name(slot) + " has no rows");
    const i64 n = static_cast<i64>(array.shape(0));
    const i64 row_bytes = n > 0 ? b.n / n : (batch > 0 ? info.bytes / batch : 0);
    const Count batch_bytes = Count(batch) * Count(row_bytes);
    if (!batch_bytes.ok() || batch_bytes.value() != info.bytes) {
      value_error(slot_name(slot) + " takes " + std::to_string(info.bytes) + " bytes, but " + std::to_string(batch) +
                  " rows of its dataset have " + std::to_string(row_bytes) + " bytes each");
    }
    list.push_back({static_cast<int>(slot), b.at, row_bytes});
    rows.push_back(n);
  }

  // The row numbers that the steps use, each inside every dataset.
  static const i64* check_order(const py::object& order, i64 first, i64 last, const std::vector<i64>& rows) {
    const Bytes b = bytes_of(order, "order", 0);
    const auto array = py::reinterpret_borrow<py::array>(order);
    if (array.ndim() != 1 || !is_dtype(array, DType::i64)) throw py::type_error("order must be an array (n,) of int64");
    const i64* numbers = reinterpret_cast<const i64*>(b.at);
    if (last > b.n / 8) {
      value_error("the steps need " + std::to_string(last) + " row numbers, order has " + std::to_string(b.n / 8));
    }
    i64 fewest = INT64_MAX;
    for (const i64 n : rows) fewest = min_of(fewest, n);
    for (i64 i = first; i < last; ++i) {
      if (numbers[i] < 0 || numbers[i] >= fewest) {
        value_error("order[" + std::to_string(i) + "] is " + std::to_string(numbers[i]) + ", but the datasets have " +
                    std::to_string(fewest) + " rows");
      }
    }
    return numbers;
  }

  void check_against_datasets(const Context& context, const std::vector<Feed>& feeds,
                              const std::vector<i64>& rows) const {
    std::vector<Span> spans;
    const std::vector<SlotInfo>& slots = program().slots();
    for (std::size_t i = 0; i < slots.size(); ++i) {
      const char* at = context.bases[kFirstSlotBase + i];
      if (at && slots[i].writable) spans.push_back({at, at + slots[i].bytes, true, static_cast<i64>(i)});
    }
    for (std::size_t f = 0; f < feeds.size(); ++f) {
      spans.push_back({feeds[f].data, feeds[f].data + feeds[f].row_bytes * rows[f], false, -1});
    }
    check_overlaps(spans);
  }

  Executor executor_;
};

}  // namespace

void bind_programs(py::module_& m) {
  using py::arg;
  py::class_<PyProgram>(m, "Program", "A verified program; words and constants as src/runtime/program.h describes.")
      .def(py::init<const py::array&, const py::buffer&, const std::optional<std::string>&>(), arg("words"),
           arg("constants") = py::bytes(), arg("isa") = py::none())
      .def("run", &PyProgram::run, arg("arrays"), "Runs once on C-contiguous arrays, one for each slot.")
      .def(
          "run_steps", &PyProgram::run_steps, arg("arrays"), arg("feeds"), arg("order"), arg("batch"), arg("begin"),
          arg("count"),
          "Runs `count` steps. feeds: [(slot, dataset)], whose slots take None in arrays; step i sees the dataset rows "
          "order[(begin + i) * batch : ] or, where order is None, the rows of these numbers.")
      .def("profile", &PyProgram::profile, arg("arrays"), arg("repeats") = 1,
           "[(kernel, ns, flops, bytes)] for each instruction; the least time of `repeats` runs.")
      .def("saved", &PyProgram::saved, arg("arrays"),
           "The bytes of a file with the program and the contents of its slots, for nacre_bench_model.")
      .def_property_readonly("arena_bytes", [](const PyProgram& p) { return p.program().arena_bytes(); })
      .def_property_readonly("slots", &PyProgram::slots, "[(bytes, writable)]")
      .def_property_readonly("instructions", &PyProgram::instructions,
                             "[{kernel, units, flops, bytes, threads, phase}], as they would run now; instructions of "
                             "one phase run at the "
                             "same time.")
      .def_property_readonly("isa", [](const PyProgram& p) { return p.program().table().isa; });

  py::class_<Limits>(m, "Limits", "What this machine can do at best, measured when asked; takes some 0.1 s.")
      .def(py::init([](const std::optional<std::string>& isa, const std::optional<int>& threads) {
             const int n = threads.value_or(get_threads());
             if (n < 1 || n > kMaxThreads) value_error("threads must be between 1 and " + std::to_string(kMaxThreads));
             return Limits(table_of(isa.value_or("")), n);
           }),
           arg("isa") = py::none(), arg("threads") = py::none(), py::call_guard<Unlocked>())
      .def_property_readonly("gflops", &Limits::gflops, "Floating-point operations from registers, 1e9 a second.")
      .def("gbps", &Limits::gbps, arg("bytes"), py::call_guard<Unlocked>(),
           "Bytes read plus bytes written by a copy that touches so many bytes, 1e9 a second.");

  m.def(
      "idle_bytes", [] { return Blocks::shared().idle_bytes(); },
      "Memory of runs that have ended, kept for the next one of any program.");
  m.def("get_threads", &get_threads, "Threads that a run may use when it is started by the calling thread.");
  m.def(
      "set_threads",
      [](int n) {
        if (n < 1 || n > kMaxThreads) {
          value_error("threads must be between 1 and " + std::to_string(kMaxThreads) + ", got " + std::to_string(n));
        }
        set_threads(n);
      },
      arg("n"), "Sets the number of threads for runs; results do not depend on it.");
}

}  // namespace nacre
