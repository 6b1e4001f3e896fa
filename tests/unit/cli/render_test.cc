// Claim: documents come out in every format without loss, and nothing that a node says can drive a
// terminal. Method: small documents against expected text.
#include "cli/render.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/times.h"

namespace mesh::cli::test {
namespace {

const ListView kView{{{"NODE", "name"},
                      {"V", "version", Cell::version},
                      {"STATE", "state", Cell::state},
                      {"LONG", "long", Cell::text, true}},
                     "name",
                     "none"};

Json document() {
  return Json::parse(R"({"kind":"NodeList","sequence":7,"items":[
    {"name":"r1.ams","version":3,"state":"ok","long":"x"},
    {"name":"zürich.lab","version":0,"state":"degraded: bgp","long":["a",1]}]})");
}

TEST(Render, Tables) {
  EXPECT_EQ(list_text(document(), kView, Format::table, false),
            "NODE        V   STATE\n"
            "r1.ams      v3  ok\n"
            "zürich.lab  -   degraded: bgp\n");
  EXPECT_EQ(list_text(document(), kView, Format::wide, false),
            "NODE        V   STATE          LONG\n"
            "r1.ams      v3  ok             x\n"
            "zürich.lab  -   degraded: bgp  a, 1\n");
  EXPECT_NE(list_text(document(), kView, Format::table, true).find("\x1b[32mok\x1b[0m"),
            std::string::npos);
  EXPECT_EQ(list_text(Json{{"items", Json::array()}}, kView, Format::table, false), "");
}

TEST(Render, Documents) {
  EXPECT_EQ(list_text(document(), kView, Format::name, false), "r1.ams\nzürich.lab\n");
  EXPECT_EQ(
      list_text(document(), kView, Format::jsonl, false),
      "{\"name\":\"r1.ams\",\"version\":3,\"state\":\"ok\",\"long\":\"x\"}\n"
      "{\"name\":\"zürich.lab\",\"version\":0,\"state\":\"degraded: bgp\",\"long\":[\"a\",1]}\n");
  EXPECT_EQ(Json::parse(list_text(document(), kView, Format::json, false)), document());
  EXPECT_EQ(
      list_text(Json{{"kind", "NodeList"}, {"items", Json::array()}}, kView, Format::json, false),
      "{\n  \"kind\": \"NodeList\",\n  \"items\": []\n}\n");
}

TEST(Render, Yaml) {
  const Json value =
      Json::parse(R"({"kind":"X","yes":"yes","number":"12","empty":{},"none":[],"nothing":null,
      "list":[{"a":1,"b":["x","y"]},{"a":"two words","b":[]}],"text":"a: b","deep":{"c":{"d":true}}})");
  EXPECT_EQ(yaml_text(value),
            "kind: X\n\"yes\": \"yes\"\nnumber: \"12\"\nempty: {}\nnone: []\nnothing: null\n"
            "list:\n- a: 1\n  b:\n  - x\n  - y\n- a: two words\n  b: []\n"
            "text: \"a: b\"\ndeep:\n  c:\n    d: true\n");
}

TEST(Render, ControlCharactersAreShownNotSent) {
  const Json item{{"name", "a\x1b[2Jb\r\n\xc2\x9bm"}, {"version", 1}, {"state", "ok"}};
  const std::string text = table_text(Json::array({item}), kView, false, false);
  EXPECT_NE(text.find("a\\x1b[2Jb\\x0d\\x0a\\x9bm"), std::string::npos) << text;
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  // A name that turns what stands beside it shows another fingerprint.
  EXPECT_EQ(printable("r1\xe2\x80\xae" "dcba\xe2\x81\xa6\xd8\x9c"), "r1\\u202edcba\\u2066\\u061c");
  EXPECT_EQ(printable("\x9b" "2J\xff\xc0\x80\xe2\x80"), "\\x9b2J\\xff\\xc0\\x80\\xe2\\x80") << "no UTF-8";
  EXPECT_EQ(printable("Zürich 東京 \xf0\x9f\x98\x80"), "Zürich 東京 \xf0\x9f\x98\x80");
  // Bytes that are not UTF-8 must not end the program.
  EXPECT_NE(document_text(Json{{"x", "\xff"}}, Format::json).find("\xef\xbf\xbd"),
            std::string::npos);
}

TEST(Render, SmallTexts) {
  EXPECT_EQ(duration_text(0), "0s");
  EXPECT_EQ(duration_text(75), "1m15s");
  EXPECT_EQ(duration_text(3600), "1h");
  EXPECT_EQ(duration_text(90'061), "1d1h");
  EXPECT_EQ(duration_text(-1), "-");
  EXPECT_EQ(bytes_text(999), "999 B");
  EXPECT_EQ(bytes_text(4'200'000), "4.2 MB");
  EXPECT_EQ(progress_bar(1, 2, 4), "[##..] 1/2");
  EXPECT_EQ(progress_bar(0, 0, 2), "[##] 0/0");
  EXPECT_EQ(count_text(1, "node"), "1 node");
}

TEST(Render, TimesAndDurationsAsTyped) {
  EXPECT_EQ(*parse_duration_s("1h30m"), 5400);
  EXPECT_EQ(*parse_duration_s("7d"), 7 * 86400);
  EXPECT_EQ(*parse_duration_s("45"), 45);
  for (const char* bad : {"", "h", "5x", "-5s", "1.5h", "99999999999s"})
    EXPECT_EQ(parse_duration_s(bad).error().code, Errc::usage) << bad;
  const Timestamp now(1'767'225'600'000'000);  // 2026-01-01T00:00:00Z
  EXPECT_EQ(parse_time("-2h", now)->value(), now.value() - 7'200'000'000);
  EXPECT_EQ(parse_time("2026-01-01T00:00:00Z", now)->value(), now.value());
  EXPECT_EQ(parse_time("2026-01-01 02:00+02:00", now)->value(), now.value());
  EXPECT_EQ(parse_time("2026-01-01T00:00:00.25Z", now)->value(), now.value() + 250'000);
  EXPECT_TRUE(parse_time("2026-01-01", now).has_value());
  for (const char* bad : {"yesterday", "2026", "2026-13-01", "2026-01-01T", "2026-01-01T00:00:00Q",
                          "2026-01-01T25:00Z", "-"})
    EXPECT_EQ(parse_time(bad, now).error().code, Errc::usage) << bad;
}

}  // namespace
}  // namespace mesh::cli::test
