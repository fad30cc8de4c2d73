-- Strings: concatenation, patterns, formatting, table.concat.
local parts = {}
for i = 1, 200000 do parts[#parts + 1] = string.format("%d:%x", i, i * 2654435761 % 2 ^ 32 // 1 | 0) end
local s = table.concat(parts, ",")
local digits, longest = 0, 0
for word in s:gmatch("%d+") do digits = digits + #word end
for round = 1, 4 do
  local t = s:gsub("(%x+):(%x+)", "%2=%1"):upper()
  longest = longest + #t + (t:find("FFFF", 1, true) or 0)
end
local acc = ""
for i = 1, 12000 do acc = acc .. i % 10 end
print(#s, digits, longest, #acc, s:reverse():byte(-1))
