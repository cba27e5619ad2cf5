-- The tracker's impression route: parameters, exact money, the event as JSON, a buffered file, the pixel.
--
-- What it leaves out, each to its own advantage: the bad lane's cap and masking, robots by user agent, client ids and
-- times, fdatasync, and the promise itself: an answered hit is in a table of this worker for up to 200 ms.

local cjson = require "cjson.safe"
local bit = require "bit"

local band, bor = bit.band, bit.bor
local byte, find, format, gsub, lower, match, rep, sub =
    string.byte, string.find, string.format, string.gsub, string.lower, string.match, string.rep, string.sub
local random, floor = math.random, math.floor
local concat = table.concat
local now, var = ngx.now, ngx.var
local header, print = ngx.header, ngx.print
local get_uri_args, get_method = ngx.req.get_uri_args, ngx.req.get_method

local GIF = ngx.decode_base64("R0lGODlhAQABAPAAAP///wAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")
local BUFFER_BYTES = 65536
local FLUSH_S = 0.2
local MAX_TEXT = 1024
local MAX_MICROS = 1e14 -- cjson writes 14 digits

local _M = {}

-- The file ------------------------------------------------------------------------------------------------------------

local file
local lines, count, bytes, seq = {}, 0, 0, 0
local stream

local function flush()
    if count > 0 then
        local ok, err = file:write(concat(lines, "", 1, count))
        if not ok then
            ngx.log(ngx.ERR, "events: ", err)
        end
        count, bytes = 0, 0
    end
end

local function append(line)
    lines[count + 1] = line
    lines[count + 2] = "\n"
    count = count + 2
    bytes = bytes + #line + 1
    if bytes >= BUFFER_BYTES then
        flush()
    end
end

function _M.open(path)
    local seeds = assert(io.open("/dev/urandom", "rb"))
    local raw = seeds:read(20)
    seeds:close()
    stream = gsub(sub(raw, 1, 16), ".", function(c) return format("%02x", byte(c)) end)
    local a, b, c, d = byte(raw, 17, 20)
    math.randomseed(a + b * 256 + c * 65536 + band(d, 127) * 16777216)
    file = assert(io.open(path, "ab"))
    file:setvbuf("no") -- the table above is the buffer
    assert(ngx.timer.every(FLUSH_S, flush))
end

function _M.close()
    if file then
        flush()
        file:close()
        file = nil
    end
end

-- Parts ---------------------------------------------------------------------------------------------------------------

local stamped_second, second_text = -1, ""

local function stamp(ms)
    local second = floor(ms / 1000)
    if second ~= stamped_second then
        stamped_second, second_text = second, os.date("!%Y-%m-%dT%H:%M:%S", second)
    end
    return format("%s.%03dZ", second_text, ms - second * 1000)
end

local last_ms, counter = 0, 0

local function fresh_id(ms) -- UUIDv7
    if ms > last_ms then
        last_ms, counter = ms, 0
    else
        counter = counter + 1
        if counter == 4096 then
            last_ms, counter = last_ms + 1, 0
        end
    end
    local high = floor(last_ms / 65536)
    return format("%08x-%04x-7%03x-%04x-%04x%08x", high, last_ms - high * 65536, counter,
        bor(0x8000, random(0, 0x3fff)), random(0, 0xffff), random(0, 0xffffffff))
end

local function micros(text)
    local whole, fraction = match(text, "^(%d+)%.?(%d*)$")
    if not whole then
        whole, fraction = "0", match(text, "^%.(%d+)$")
    end
    if not fraction then
        local number = find(text, "[eE]") and match(text, "^%d*%.?%d*[eE][+-]?%d%d?$") and tonumber(text)
        local amount = number and number * 1e6
        if amount and amount == floor(amount) and amount <= MAX_MICROS then
            return amount
        end
        return nil
    end
    if #fraction > 6 then
        fraction = gsub(fraction, "0+$", "")
        if #fraction > 6 then
            return nil
        end
    end
    local amount = tonumber(whole) * 1e6 + tonumber(fraction .. rep("0", 6 - #fraction))
    return amount <= MAX_MICROS and amount or nil
end

local MACROS = {
    "^%${[%w_.:-]+}$", "^%[[%w_.:-]+%]$", "^%%%%[%w_.:-]+%%%%$", "^{[%w_.:-]+}$", "^{{[%w_.:-]+}}$", "^__[%u%d_]+__$",
}

local function is_macro(text)
    for i = 1, #MACROS do
        if find(text, MACROS[i]) then
            return true
        end
    end
    return false
end

local function mark(event, flag)
    local flags = event.flags
    if not flags then
        event.flags = { flag }
        return
    end
    for i = 1, #flags do
        if flags[i] == flag then
            return
        end
    end
    flags[#flags + 1] = flag
end

local function spoil(event, reason, field)
    if not event.lane then
        event.lane, event.reason, event.properties = "bad", reason, { field = field }
    end
end

local function fit(event, text)
    if text and #text > MAX_TEXT then
        mark(event, "cut")
        return sub(text, 1, MAX_TEXT)
    end
    return text
end

local function known(event, value)
    if value == nil then
        return nil
    end
    if type(value) == "table" then
        mark(event, "repeated_parameter")
        value = value[1]
    end
    if value == "" or value == true or value == "-1" or value == "-2" then
        mark(event, "unknown_value")
        return nil
    end
    if find(value, "^[$%[{%%_]") and is_macro(value) then
        mark(event, "macro_unreplaced")
        return nil
    end
    return fit(event, value)
end

local function host(text)
    local found = match(text, "^%a[%w+.-]*://([^/?#]*)") or match(text, "^//([^/?#]*)") or match(text, "^([^/?#]*)")
    found = match(found, "^[^@]*@(.*)$") or found
    found = match(found, "^(%[[%x:.]+%]):?%d*$") or match(found, "^([%w_.-]+):?%d*$")
    return found and lower(found)
end

-- The network that may be kept of an address: IPv4 /24, IPv6 /48 (the packed address, three groups of it).
local function network(packed)
    local a, b, c, d, e, f = byte(packed, 1, 6)
    if #packed == 4 then
        return format("%d.%d.%d.0", a, b, c)
    end
    return format("%x:%x:%x::", a * 256 + b, c * 256 + d, e * 256 + f)
end

local function is_ahead(purpose)
    purpose = lower(purpose)
    return find(purpose, "prefetch", 1, true) or find(purpose, "prerender", 1, true) or find(purpose, "preview", 1, true)
end

-- The route -----------------------------------------------------------------------------------------------------------

function _M.impression()
    local ms = floor(now() * 1000 + 0.5)
    local at = stamp(ms)
    local id = fresh_id(ms)
    local args = get_uri_args(128)
    local referer = var.http_referer
    local agent = var.http_user_agent
    local dimensions = {}
    local context = {}
    local event = {
        id = id, stream = stream, event = "impression", timestamp = at, received_at = at, environment = "production",
        source = "impression", dimensions = dimensions, context = context,
    }
    dimensions.campaign = fit(event, var.campaign)
    dimensions.creative = fit(event, var.creative)

    local billed = true
    if get_method() == "HEAD" then
        mark(event, "head")
        billed = false
    end
    local purpose = var.http_sec_purpose or var.http_purpose or var.http_x_moz
    if purpose and is_ahead(purpose) then
        mark(event, "prefetch")
        billed = false
    end
    local anonymous = false
    if var.http_sec_gpc == "1" then
        mark(event, "gpc")
        anonymous = true
    end
    if var.http_dnt == "1" then
        mark(event, "dnt")
        anonymous = true
    end

    local site = known(event, args.site) or referer
    if site and site ~= "" then
        dimensions.site = host(site)
        if not dimensions.site then
            spoil(event, "invalid_field", "site")
        end
    end
    local price = known(event, args.price)
    if price then
        if lower(price) == "audit" then
            mark(event, "audit")
        else
            local amount = micros(price)
            if not amount then
                spoil(event, "invalid_field", "price")
            else
                dimensions.currency = "USD"
                -- One CPM micro is one nano an impression.
                event.metrics = { price_micros = amount, cost_nanos = billed and not event.lane and amount or nil }
            end
        end
    end

    if not anonymous then
        context.ip = network(var.binary_remote_addr)
    end
    context.user_agent = fit(event, agent)
    context.referer = fit(event, referer)
    local language = var.http_accept_language
    if language then
        context.locale = fit(event, match(language, "^%s*([^,;%s]+)"))
    end

    seq = seq + 1
    event.seq = seq
    append(cjson.encode(event))

    header["Content-Type"] = "image/gif"
    header["Content-Length"] = 43
    header["Cache-Control"] = "no-store"
    header["Cross-Origin-Resource-Policy"] = "cross-origin"
    header["X-Event-Id"] = id
    if event.reason then
        header["X-Tracker-Reason"] = event.reason
    end
    print(GIF)
end

return _M
