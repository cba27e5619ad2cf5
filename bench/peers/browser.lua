-- What wrk sends: 4,096 different impressions, each with a browser's ten headers, in a shuffled order; and what it says at
-- the end, as one line of JSON. They are made before the clock starts; a request then costs one look into a table.

local COUNT = 4096
local prepared, at = {}, 0

local function agent(n)
    return "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0." .. n ..
        ".0 Safari/537.36"
end

function init(_)
    local host = wrk.headers["Host"] or (wrk.host .. ":" .. wrk.port)
    for n = 0, COUNT - 1 do
        local path = string.format("/imp/c%d/cr%d.gif?price=%.2f&cb=%d", n % 512, n % 512, n / 400 + 0.01,
            10000000 + n * 7919)
        prepared[n + 1] = table.concat({
            "GET " .. path .. " HTTP/1.1",
            "Host: " .. host,
            "User-Agent: " .. agent(n % 64),
            "Accept: image/avif,image/webp,image/*,*/*;q=0.8",
            "Accept-Language: en-US,en;q=0.9",
            "Accept-Encoding: gzip, deflate, br",
            "Referer: https://news" .. n % 256 .. ".example.org/",
            "Sec-Fetch-Dest: image",
            "Sec-Fetch-Mode: no-cors",
            "Sec-Fetch-Site: cross-site",
            "Connection: keep-alive",
            "\r\n",
        }, "\r\n")
    end
    math.randomseed(1)
    for n = COUNT, 2, -1 do
        local other = math.random(n)
        prepared[n], prepared[other] = prepared[other], prepared[n]
    end
end

function request()
    at = at % COUNT + 1
    return prepared[at]
end

function done(summary, latency, _)
    local errors = summary.errors
    io.write(string.format(
        '\nJSON {"requests":%d,"microseconds":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d,"status":%d,' ..
        '"p50":%d,"p99":%d,"p999":%d,"max":%d}\n',
        summary.requests, summary.duration, errors.connect, errors.read, errors.write, errors.timeout, errors.status,
        latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max))
end
