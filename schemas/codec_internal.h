// Shared by the codec's files, private to this folder.
//
// pack(builder, value) writes a value and returns its offset; unpack(reader, wire) reads one. A builder call
// never stands in the argument list of another: C++ leaves their order open, and the bytes depend on it.
#pragma once

#include <flatbuffers/flatbuffers.h>
#include <fmt/format.h>

#include <array>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "entry_generated.h"
#include "eventstore/model/entry.h"
#include "eventstore/model/limits.h"
#include "eventstore/model/result.h"

namespace mesh {

using Builder = flatbuffers::FlatBufferBuilder;
template <class T>
using Offset = flatbuffers::Offset<T>;
using WireString = flatbuffers::String;
template <class T>
using WireVector = flatbuffers::Vector<T>;

/// File identifiers: a buffer of one kind is never read as another.
inline constexpr const char* kRequestIdentifier = "MLRQ";
inline constexpr const char* kHeaderIdentifier = "MLHD";
inline constexpr const char* kBodyIdentifier = "MLBD";
inline constexpr const char* kContextIdentifier = "MLCX";
inline constexpr const char* kEventsIdentifier = "MLEV";
inline constexpr const char* kJoinIdentifier = "MLJN";
inline constexpr const char* kOutcomeIdentifier = "MLOC";
inline constexpr const char* kMessageIdentifier = "MLMS";
inline constexpr const char* kSnapshotIdentifier = "MLSN";
inline constexpr const char* kTokenIdentifier = "MLTK";

// --- writing ---

/// An empty string, list or byte string is left out: it reads back as empty.
Offset<WireString> pack_text(Builder& b, std::string_view text);
/// Text that nobody chose: an error's, a kernel's, a host's name. What a reader would refuse becomes '?', and it
/// is cut at `max`, so that a stray byte in a message cannot make its sender mute.
Offset<WireString> pack_line(Builder& b, std::string_view text, size_t max);
Offset<WireString> pack_prose(Builder& b, std::string_view text, size_t max);
Offset<WireVector<Offset<WireString>>> pack_texts(Builder& b, const std::vector<std::string>& texts);
/// Aligned to 8, so that a buffer inside a buffer can be read where it lies.
Offset<WireVector<uint8_t>> pack_bytes(Builder& b, ByteView bytes);
Bytes finished(Builder& b);

inline const wire::Bytes16* pack_fixed(const std::array<uint8_t, 16>& bytes) {
  return reinterpret_cast<const wire::Bytes16*>(bytes.data());
}
inline const wire::Bytes32* pack_fixed(const std::array<uint8_t, 32>& bytes) {
  return reinterpret_cast<const wire::Bytes32*>(bytes.data());
}
inline const wire::Bytes64* pack_fixed(const std::array<uint8_t, 64>& bytes) {
  return reinterpret_cast<const wire::Bytes64*>(bytes.data());
}
template <class Tag, size_t N>
auto pack_fixed(const ByteArray<Tag, N>& array) {
  return pack_fixed(array.bytes);
}

/// A vector of tables or strings, packed in order.
template <class List, class Pack>
auto pack_list(Builder& b, const List& list, Pack pack_one)
    -> Offset<WireVector<decltype(pack_one(*list.begin()))>> {
  if (list.empty()) return 0;
  std::vector<decltype(pack_one(*list.begin()))> offsets;
  offsets.reserve(list.size());
  for (const auto& item : list) offsets.push_back(pack_one(item));
  return b.CreateVector(offsets);
}

/// Rows of fixed size, stored inline.
template <class Rows, class Convert>
auto pack_rows(Builder& b, const Rows& rows, Convert convert)
    -> Offset<WireVector<const decltype(convert(*rows.begin()))*>> {
  if (rows.empty()) return 0;
  std::vector<decltype(convert(*rows.begin()))> out;
  out.reserve(rows.size());
  for (const auto& row : rows) out.push_back(convert(row));
  return b.CreateVectorOfStructs(out);
}

// --- reading ---

/// Reads fields of one verified buffer and keeps the first error: after it every call gives an empty value
/// and no list is walked. What is copied out in total is at most the buffer's size, because an honest buffer
/// shares nothing; so a few bytes cannot be made to fill the memory.
class Reader {
 public:
  explicit Reader(size_t buffer_size) : budget_(buffer_size) {}

  bool ok() const { return error_.code == Errc{}; }
  void fail(Errc code, std::string message, std::string fix = {});
  void fail_in(std::string_view context, const Error& error);
  template <class T>
  Result<T> finish(std::string_view context, T value) {
    if (ok()) return value;
    return mesh::fail_in(context, std::move(error_));
  }

  /// UTF-8 without control characters; a missing one is empty.
  std::string line(const WireString* text, std::string_view what, size_t max = kNameBytesMax);
  /// The same with newlines and tabs.
  std::string prose(const WireString* text, std::string_view what, size_t max);
  std::vector<std::string> lines(const WireVector<Offset<WireString>>* texts, std::string_view what,
                                 size_t max_count, size_t max_bytes);
  Bytes bytes(const WireVector<uint8_t>* bytes, std::string_view what, size_t max);

  /// A table or struct that must be there.
  bool present(const void* field, std::string_view what);
  template <class Array, class Wire>
  Array fixed(const Wire* field, std::string_view what) {
    static_assert(sizeof(Wire) == Array::kSize);
    Array out;
    if (present(field, what)) std::memcpy(out.bytes.data(), field->b()->Data(), Array::kSize);
    return out;
  }
  /// An enumerator from 1 to `last`.
  template <class Enum, class Wire>
  Enum one_of(Wire value, Enum last, std::string_view what) {
    const auto number = static_cast<unsigned>(value);
    if (number >= 1 && number <= static_cast<unsigned>(last)) return static_cast<Enum>(number);
    fail(Errc::unsupported, fmt::format("{} {} is unknown", what, number), kUpgrade);
    return last;
  }
  /// Whether a list of `count` elements of `size` bytes each may be read.
  bool take(size_t count, size_t size, size_t max_count, std::string_view what);

  template <class List, class Read>
  auto list(const List* wire, std::string_view what, size_t max_count, Read read)
      -> std::vector<decltype(read(wire->Get(0)))> {
    std::vector<decltype(read(wire->Get(0)))> out;
    using Element = std::remove_cvref_t<std::remove_pointer_t<decltype(wire->Get(0))>>;
    constexpr size_t kElementSize =
        std::is_base_of_v<flatbuffers::Table, Element> ? sizeof(flatbuffers::uoffset_t) : sizeof(Element);
    if (!wire || !take(wire->size(), kElementSize, max_count, what)) return out;
    out.reserve(wire->size());
    for (flatbuffers::uoffset_t i = 0; i < wire->size() && ok(); ++i) out.push_back(read(wire->Get(i)));
    return out;
  }

  static constexpr const char* kUpgrade = "this program is older than the other side: upgrade it";

 private:
  std::string text(const WireString* text, std::string_view what, size_t max, bool prose);

  size_t budget_;
  Error error_;
};

/// Bytes where FlatBuffers may read them: `bytes` themselves, or a copy when they are not aligned to 8.
class AlignedInput {
 public:
  explicit AlignedInput(ByteView bytes);
  AlignedInput(const AlignedInput&) = delete;
  AlignedInput& operator=(const AlignedInput&) = delete;
  ByteView view() const { return view_; }

 private:
  Bytes copy_;
  ByteView view_;
};

/// Size before verification; the number of tables is bounded by the size, because every table of an honest
/// buffer has at least 8 bytes of its own.
Status check_size(ByteView bytes, size_t max, std::string_view what);
flatbuffers::Verifier make_verifier(ByteView bytes);

/// The verified root of `input`. Errors: exhausted, corrupt.
template <class Table>
Result<const Table*> open_root(const AlignedInput& input, const char* identifier, size_t max,
                               std::string_view what) {
  MESH_TRY(check_size(input.view(), max, what));
  auto verifier = make_verifier(input.view());
  if (!verifier.template VerifyBuffer<Table>(identifier))
    return mesh::fail(Errc::corrupt, fmt::format("{} is not a well-formed {} buffer", what, identifier));
  return flatbuffers::GetRoot<Table>(input.view().data());
}

// --- closed sets: a union member is the index in the variant plus 1 ---

template <class T>
struct OffsetTarget;
template <class T>
struct OffsetTarget<flatbuffers::Offset<T>> {
  using type = T;
};
template <class Value>
using WireOf =
    typename OffsetTarget<decltype(pack(std::declval<Builder&>(), std::declval<const Value&>()))>::type;

template <template <class> class Traits, class Variant>
auto pack_union(Builder& b, const Variant& value) {
  return std::visit(
      [&b]<class Value>(const Value& alternative) {
        const auto offset = pack(b, alternative);
        // By value: the generated constant has no definition that a reference could bind to.
        constexpr auto kKind = Traits<WireOf<Value>>::enum_value;
        return std::pair(kKind, offset.Union());
      },
      value);
}

template <template <class> class Traits, class Variant, size_t I>
Variant unpack_member(Reader& r, const void* body) {
  using Wire = WireOf<std::variant_alternative_t<I, Variant>>;
  static_assert(static_cast<size_t>(Traits<Wire>::enum_value) == I + 1, "the union follows the variant");
  return unpack(r, *static_cast<const Wire*>(body));
}

template <template <class> class Traits, class Variant, class Type>
Variant unpack_union(Reader& r, Type type, const void* body, std::string_view what) {
  static constexpr auto kMembers = []<size_t... I>(std::index_sequence<I...>) {
    return std::array{&unpack_member<Traits, Variant, I>...};
  }(std::make_index_sequence<std::variant_size_v<Variant>>());
  const auto number = static_cast<size_t>(type);
  if (number > kMembers.size())
    r.fail(Errc::unsupported, fmt::format("{} kind {} is unknown", what, number), Reader::kUpgrade);
  else if (number == 0 || !body)
    r.fail(Errc::corrupt, fmt::format("{} is empty", what));
  else
    return kMembers[number - 1](r, body);
  return {};
}

// --- parts that several files use ---

Offset<wire::Target> pack(Builder& b, const Target& target);
Target unpack_target(Reader& r, const wire::Target* w);
Offset<wire::Scope> pack(Builder& b, const Scope& scope);
Scope unpack_scope(Reader& r, const wire::Scope* w);
Offset<wire::Principal> pack(Builder& b, const Principal& principal);
Principal unpack_principal(Reader& r, const wire::Principal* w);
Offset<wire::Value> pack(Builder& b, const AttributeValue& value);
AttributeValue unpack_value(Reader& r, const wire::Value* w);
Offset<WireVector<const wire::VersionRow*>> pack_version_rows(Builder& b, const std::vector<VersionRow>& rows);
std::vector<VersionRow> unpack_version_rows(Reader& r, const WireVector<const wire::VersionRow*>* w);

Offset<wire::SignedJoin> pack(Builder& b, const SignedJoin& join);
/// Its statement is opened by the caller where it is needed.
SignedJoin unpack_join(Reader& r, const wire::SignedJoin* w);
Offset<wire::Outcome> pack(Builder& b, const Outcome& outcome);
Outcome unpack_outcome(Reader& r, const wire::Outcome* w);
Offset<wire::SignedOutcome> pack(Builder& b, const SignedOutcome& outcome);
/// Numbers of nodes, strictly ascending.
Offset<WireVector<uint32_t>> pack_nodes(Builder& b, const std::vector<NodeId>& nodes);
std::vector<NodeId> unpack_nodes(Reader& r, const WireVector<uint32_t>* w);
/// Names of gates (Activate::health).
std::vector<std::string> unpack_gates(Reader& r, const WireVector<Offset<WireString>>* w);
/// With the outcome that its bytes hold.
SignedOutcome unpack_signed_outcome(Reader& r, const wire::SignedOutcome* w);
Offset<wire::CreateLog> pack(Builder& b, const CreateLog& command);
CreateLog unpack(Reader& r, const wire::CreateLog& w);

Offset<wire::Command> pack_command(Builder& b, const Command& command);
Command unpack_command(Reader& r, const wire::Command* w);
Offset<wire::Event> pack_event(Builder& b, const Event& event);
std::vector<Event> unpack_events(Reader& r, const WireVector<Offset<wire::Event>>* w);

}  // namespace mesh
