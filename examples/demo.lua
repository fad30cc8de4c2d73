-- Runs inside the sandbox: see `./dev demo`.
print("Hello from " .. _VERSION .. ", running inside a verified sandbox.")

local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
local t = os.clock()
print("fib(27) =", fib(27), string.format("(%.2f s)", os.clock() - t))

local words = {}
for line in io.lines("/examples/demo.lua") do
  for w in line:gmatch("%a+") do words[w] = (words[w] or 0) + 1 end
end
print("this script says 'print' " .. words["print"] .. " times; it could read itself, because --dir mapped its folder")

print("but not the host's files:", io.open("/etc/passwd"))
print("nor write where it may only read:", io.open("/examples/new", "w"))
print("nor start programs:", pcall(os.execute, "true"))
