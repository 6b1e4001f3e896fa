#include "schemas/codec_internal.h"

#include "eventstore/model/json_text.h"

namespace mesh {

namespace {

constexpr size_t kAlignment = 8;
constexpr size_t kTableBytesMin = 8;  // the offset that leads to it and the offset of its vtable

/// C0, DEL and C1 (0xc2 0x80 to 0xc2 0x9f): they can move a terminal's cursor or hide text.
bool is_control(std::string_view text, size_t i) {
  const auto byte = static_cast<uint8_t>(text[i]);
  return byte < 0x20 || byte == 0x7f || (byte == 0xc2 && static_cast<uint8_t>(text[i + 1]) < 0xa0);
}

/// What is wrong with `text`, or nothing.
const char* text_problem(std::string_view text, bool prose) {
  if (!is_utf8(text)) return "is not valid UTF-8";
  for (size_t i = 0; i < text.size(); ++i) {
    const bool allowed = prose && (text[i] == '\n' || text[i] == '\t');
    if (!allowed && is_control(text, i)) return "has a control character";
  }
  return nullptr;
}

size_t character_bytes(char first) {
  const auto byte = static_cast<uint8_t>(first);
  return byte < 0xc0 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

std::string readable(std::string_view text, size_t max, bool prose) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    std::string_view character = text.substr(i, character_bytes(text[i]));
    if (text_problem(character, prose)) character = text.substr(i, 1);
    i += character.size();
    if (text_problem(character, prose)) character = "?";
    if (out.size() + character.size() > max) break;
    out += character;
  }
  return out;
}

Offset<WireString> pack_readable(Builder& b, std::string_view text, size_t max, bool prose) {
  if (text.size() <= max && !text_problem(text, prose)) return pack_text(b, text);
  return pack_text(b, readable(text, max, prose));
}

}  // namespace

Offset<WireString> pack_line(Builder& b, std::string_view text, size_t max) {
  return pack_readable(b, text, max, false);
}

Offset<WireString> pack_prose(Builder& b, std::string_view text, size_t max) {
  return pack_readable(b, text, max, true);
}

Offset<WireString> pack_text(Builder& b, std::string_view text) {
  if (text.empty()) return 0;
  return b.CreateString(text.data(), text.size());
}

Offset<WireVector<Offset<WireString>>> pack_texts(Builder& b, const std::vector<std::string>& texts) {
  // Not pack_text: an element of a list has no "left out".
  return pack_list(b, texts, [&](const std::string& text) { return b.CreateString(text); });
}

Offset<WireVector<uint8_t>> pack_bytes(Builder& b, ByteView bytes) {
  if (bytes.empty()) return 0;
  b.ForceVectorAlignment(bytes.size(), 1, kAlignment);
  return b.CreateVector(bytes.data(), bytes.size());
}

Bytes finished(Builder& b) { return {b.GetBufferPointer(), b.GetBufferPointer() + b.GetSize()}; }

void Reader::fail(Errc code, std::string message, std::string fix) {
  if (ok()) error_ = {code, std::move(message), std::move(fix)};
}

void Reader::fail_in(std::string_view context, const Error& error) {
  fail(error.code, fmt::format("{}: {}", context, error.message), error.fix);
}

bool Reader::take(size_t count, size_t size, size_t max_count, std::string_view what) {
  if (!ok()) return false;
  if (count > max_count) {
    fail(Errc::exhausted, fmt::format("{}: {} elements, at most {}", what, count, max_count));
    return false;
  }
  if (count * size > budget_) {
    fail(Errc::corrupt, fmt::format("{}: the same bytes again and again", what));
    return false;
  }
  budget_ -= count * size;
  return true;
}

std::string Reader::text(const WireString* text, std::string_view what, size_t max, bool prose) {
  if (!text || !ok()) return {};
  if (text->size() > max) {
    fail(Errc::exhausted, fmt::format("{} has {} bytes, at most {}", what, text->size(), max));
    return {};
  }
  if (!take(text->size(), 1, max, what)) return {};
  const std::string_view view(text->c_str(), text->size());
  if (const char* problem = text_problem(view, prose)) {
    fail(Errc::corrupt, fmt::format("{} {}", what, problem));
    return {};
  }
  return std::string(view);
}

std::string Reader::line(const WireString* text, std::string_view what, size_t max) {
  return this->text(text, what, max, false);
}

std::string Reader::prose(const WireString* text, std::string_view what, size_t max) {
  return this->text(text, what, max, true);
}

std::vector<std::string> Reader::lines(const WireVector<Offset<WireString>>* texts, std::string_view what,
                                       size_t max_count, size_t max_bytes) {
  std::vector<std::string> out;
  if (!texts || !take(texts->size(), sizeof(flatbuffers::uoffset_t), max_count, what)) return out;
  out.reserve(texts->size());
  for (const auto* text : *texts) {
    out.push_back(line(text, what, max_bytes));
    if (!ok()) break;
  }
  return out;
}

Bytes Reader::bytes(const WireVector<uint8_t>* bytes, std::string_view what, size_t max) {
  if (!bytes || !ok()) return {};
  if (bytes->size() > max) {
    fail(Errc::exhausted, fmt::format("{} has {} bytes, at most {}", what, bytes->size(), max));
    return {};
  }
  if (!take(bytes->size(), 1, max, what)) return {};
  return {bytes->data(), bytes->data() + bytes->size()};
}

bool Reader::present(const void* field, std::string_view what) {
  if (!field) fail(Errc::corrupt, fmt::format("{} is missing", what));
  return field != nullptr;
}

AlignedInput::AlignedInput(ByteView bytes) : view_(bytes) {
  if (reinterpret_cast<uintptr_t>(bytes.data()) % kAlignment == 0) return;
  copy_.assign(bytes.begin(), bytes.end());
  view_ = copy_;
}

Status check_size(ByteView bytes, size_t max, std::string_view what) {
  if (bytes.size() > max)
    return fail(Errc::exhausted, fmt::format("{} has {} bytes, at most {}", what, bytes.size(), max));
  return {};
}

flatbuffers::Verifier make_verifier(ByteView bytes) {
  const size_t tables = std::min(kFlatBufferTablesMax, bytes.size() / kTableBytesMin);
  return flatbuffers::Verifier(bytes.data(), bytes.size(), kFlatBufferDepthMax,
                               static_cast<flatbuffers::uoffset_t>(tables));
}

}  // namespace mesh
