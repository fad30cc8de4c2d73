-- Allocation and the collector: trees of small tables, made and dropped.
local function tree(d) if d == 0 then return {} end return { tree(d - 1), tree(d - 1) } end
local function check(t) return t[1] and 1 + check(t[1]) + check(t[2]) or 1 end
local keep, sum = tree(15), 0
for d = 4, 14, 2 do
  for _ = 1, 1 << (14 - d + 5) do sum = sum + check(tree(d)) end
end
print(sum, check(keep))
