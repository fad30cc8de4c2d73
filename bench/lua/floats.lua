-- Floating point: n-body and spectral norm.
local function A(i, j) local ij = i + j - 1 return 1.0 / (ij * (ij - 1) * 0.5 + i) end
local function Av(x, y, n) for i = 1, n do local a = 0.0 for j = 1, n do a = a + x[j] * A(i, j) end y[i] = a end end
local function Atv(x, y, n) for i = 1, n do local a = 0.0 for j = 1, n do a = a + x[j] * A(j, i) end y[i] = a end end
local n, u, v, t = 220, {}, {}, {}
for i = 1, n do u[i] = 1.0 end
for _ = 1, 10 do Av(u, t, n) Atv(t, v, n) Av(v, t, n) Atv(t, u, n) end
local vBv, vv = 0.0, 0.0
for i = 1, n do vBv = vBv + u[i] * v[i] vv = vv + v[i] * v[i] end
print(string.format("%.9f", math.sqrt(vBv / vv)))
local px, vx, m = { 0.0, 4.84, 8.34, 12.89, 15.37 }, { 0.0, 0.6, -1.01, 1.08, 0.97 }, { 39.4, 0.037, 0.011, 0.0017, 0.002 }
for _ = 1, 450000 do
  for i = 1, 5 do
    for j = i + 1, 5 do
      local d = px[i] - px[j]
      local mag = 0.001 / ((d * d + 0.1) * math.sqrt(d * d + 0.1))
      vx[i] = vx[i] - d * m[j] * mag
      vx[j] = vx[j] + d * m[i] * mag
    end
  end
  for i = 1, 5 do px[i] = px[i] + 0.001 * vx[i] end
end
print(string.format("%.9f %.9f", px[1], vx[5]))
