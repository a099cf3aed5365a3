# SPDX-License-Identifier: Apache-2.0
# cmake -DFROM=FOLDER -DTO=FILE.c -P embed.cmake - makes one page of dashboard.html, .css and .js, and C of the page
# (src/admin/admin_dashboard.h).  The policy names the SHA-256 of the style and of the script: a browser runs no other.

file(READ ${FROM}/dashboard.html page)
file(READ ${FROM}/dashboard.css style)
file(READ ${FROM}/dashboard.js script)

# What stands between the tags is what a browser hashes.
string(REPLACE "@STYLE@" "${style}" page "${page}")
string(REPLACE "@SCRIPT@" "${script}" page "${page}")

# base64(VARIABLE HEX): of 32 bytes.
function(base64 variable hex)
  set(letters "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
  set(text "")
  string(APPEND hex "00") # to a multiple of three bytes
  foreach(group RANGE 10)
    math(EXPR at "${group} * 6")
    string(SUBSTRING ${hex} ${at} 6 bytes)
    foreach(shift 18 12 6 0)
      math(EXPR letter "(0x${bytes} >> ${shift}) & 63")
      string(SUBSTRING ${letters} ${letter} 1 letter)
      string(APPEND text ${letter})
    endforeach()
  endforeach()
  string(SUBSTRING ${text} 0 43 text)
  set(${variable} "${text}=" PARENT_SCOPE)
endfunction()

string(SHA256 style_hex "${style}")
string(SHA256 script_hex "${script}")
base64(style_hash ${style_hex})
base64(script_hash ${script_hex})
string(CONCAT policy "default-src 'none'; script-src 'sha256-${script_hash}'; style-src 'sha256-${style_hash}'; "
  "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")

file(WRITE ${TO}.html "${page}")
file(READ ${TO}.html hex HEX)
string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
file(WRITE ${TO} "/* Made by src/admin/dashboard/embed.cmake. */
#include \"admin/admin_dashboard.h\"

const unsigned char admin_dashboard_page[] = {
${bytes}
};
const size_t admin_dashboard_page_bytes = sizeof(admin_dashboard_page);
const char admin_dashboard_policy[] =
    \"${policy}\";
")
